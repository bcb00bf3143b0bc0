/* SPDX-License-Identifier: MIT-0
 *
 * The inner loops of the dense layer for weights of 8 bits on Armv6-M.
 */
#define KWS_WEIGHT_BITS 8
#define KWS_SIZED(name) name
#include "kws_dense_v6m_body.h"
