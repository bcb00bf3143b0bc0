/* SPDX-License-Identifier: MIT-0
 *
 * The dense layer for weights of 8 bits.
 */
#define KWS_WEIGHT_BITS 8
#define KWS_SIZED(name) name
#include "kws_dense_body.h"
