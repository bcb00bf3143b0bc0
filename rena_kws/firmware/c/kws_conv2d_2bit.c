/* SPDX-License-Identifier: MIT-0
 *
 * The convolution for weights packed to 2 bits.
 */
#include "kws_conv2d_2bit.h"

#define KWS_WEIGHT_BITS 2
#define KWS_SIZED(name) name##_2bit
#include "kws_conv2d_body.h"
