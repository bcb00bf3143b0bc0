/* SPDX-License-Identifier: MIT-0
 *
 * The dense layer for weights packed to 2 bits, on all cores.
 */
#include "kws_dense_2bit.h"

#define KWS_WEIGHT_BITS 2
#define KWS_SIZED(name) name##_2bit
#include "kws_dense_v6m_body.h"
#include "kws_dense_dsp_body.h"
#include "kws_dense_body.h"
