/* SPDX-License-Identifier: MIT-0
 *
 * Functions of nothing but assembly.
 */
#ifndef KWS_ASSEMBLY_H
#define KWS_ASSEMBLY_H

/* No compiler sees what such a function does with its arguments, so none may reason about that. */
#if defined(__clang__)
#define KWS_ASSEMBLY __attribute__((naked, noinline))
#elif defined(__GNUC__)
#define KWS_ASSEMBLY __attribute__((naked, noipa))
#endif

/* A macro's value as text. */
#define KWS_TEXT(macro) KWS_TEXT_OF(macro)
#define KWS_TEXT_OF(value) #value

#endif
