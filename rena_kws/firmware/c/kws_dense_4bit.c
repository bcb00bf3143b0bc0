/* SPDX-License-Identifier: MIT-0
 *
 * The dense layer for weights packed to 4 bits, on all cores.
 */
#include "kws_dense_4bit.h"

#define KWS_WEIGHT_BITS 4
#define KWS_SIZED(name) name##_4bit
#include "kws_dense_v6m_body.h"
#include "kws_dense_dsp_body.h"
#include "kws_dense_body.h"
