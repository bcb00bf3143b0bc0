/* SPDX-License-Identifier: MIT-0
 *
 * The convolution for weights of 8 bits.
 */
#define KWS_WEIGHT_BITS 8
#define KWS_SIZED(name) name
#include "kws_conv2d_body.h"
