/* SPDX-License-Identifier: MIT-0
 *
 * kws_depthwise for cores with the DSP extension.
 */
#ifndef KWS_DEPTHWISE_DSP_H
#define KWS_DEPTHWISE_DSP_H

#include "kws_depthwise.h"
#include "kws_dsp.h"

#if KWS_DSP
void kws_depthwise_dsp(const kws_depthwise_params *params, const int8_t *input, int8_t *output, int8_t *scratch);
#endif

#endif
