/* SPDX-License-Identifier: MIT-0
 *
 * The convolution for weights packed to 4 bits.
 */
#include "kws_conv2d_4bit.h"

#define KWS_WEIGHT_BITS 4
#define KWS_SIZED(name) name##_4bit
#include "kws_conv2d_body.h"
