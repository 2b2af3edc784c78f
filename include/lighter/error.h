/* lighter/error.h - why something was refused, in words and in a code.
 *
 * One vocabulary for the daemon, its plugins, the wire and the C client: the wire
 * carries lighter_code_name() of the code (doc/protocol.md, "Errors"), and a client
 * turns it into what its language raises.
 */
#ifndef LIGHTER_ERROR_H
#define LIGHTER_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* New codes are added at the end: the numbers are part of the plugin ABI. */
enum lighter_code {
    LIGHTER_OK = 0,
    LIGHTER_E_PROTOCOL, /* bytes that are not this protocol; the connection ends */
    LIGHTER_E_METHOD,   /* a method that the daemon does not have */
    LIGHTER_E_PARAMS,   /* a parameter or option missing, unknown or out of range */
    LIGHTER_E_KEY,      /* a key that the outputs do not have (KeyError) */
    LIGHTER_E_VALUE,    /* a value that cannot be written (ValueError) */
    LIGHTER_E_TYPE,     /* a value of the wrong type, dtype or rank (TypeError) */
    LIGHTER_E_OS,       /* the system refused; errnum says why (OSError) */
    LIGHTER_E_STATE,    /* not now: job over, interrupted, taken, shutting down */
    LIGHTER_E_LIMIT,    /* over a limit of the daemon's configuration */
    LIGHTER_E_INTERNAL, /* a bug of ours */
    LIGHTER_N_CODES
};

#define LIGHTER_ERROR_TEXT_MAX 992

/* Filled by whoever fails, read by whoever reports. Plain data, owned by the caller. */
struct lighter_error {
    uint32_t code;  /* enum lighter_code */
    int32_t errnum; /* errno, positive; 0 where there is none */
    int64_t sample; /* index within the batch, 0-based; -1 where it has no meaning */
    char message[LIGHTER_ERROR_TEXT_MAX]; /* UTF-8, one sentence, NUL-terminated */
};

#define LIGHTER_ERROR_INIT                                                             \
    {                                                                                  \
        0, 0, -1, ""                                                                   \
    }

/* Name of a code on the wire, such as "missing_key". Static text; any thread. */
static inline const char *
lighter_code_name(uint32_t code)
{
    static const char *const names[LIGHTER_N_CODES] = {
        "ok",          "protocol",  "unknown_method", "bad_params",
        "missing_key", "bad_value", "bad_type",       "os",
        "bad_state",   "limit",     "internal"};

    return code < LIGHTER_N_CODES ? names[code] : "internal";
}

static inline int
lighter_fail_errnum(uint32_t code)
{
    static const int errnums[LIGHTER_N_CODES] = {0,      EPROTO, ENOSYS,         EINVAL,
                                                 ENOKEY, EINVAL, EDOM,           EIO,
                                                 EBUSY,  EDQUOT, ENOTRECOVERABLE};

    return code < LIGHTER_N_CODES ? errnums[code] : ENOTRECOVERABLE;
}

/* Say why, in one printf-like sentence without a full stop. `err` may be NULL.
 *
 * Return: a negative errno that stands for `code`, to be returned as it is.
 */
__attribute__((format(printf, 3, 4))) static inline int
lighter_fail(struct lighter_error *err, enum lighter_code code, const char *format, ...)
{
    va_list args;

    if (err) {
        err->code = code;
        err->errnum = 0;
        err->sample = -1;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return -lighter_fail_errnum(code);
}

/* The same for a system call that failed with `errnum` (positive): ": No space left on
 * device" is added to the sentence. Return: -errnum.
 */
__attribute__((format(printf, 3, 4))) static inline int
lighter_fail_os(struct lighter_error *err, int errnum, const char *format, ...)
{
    va_list args;
    size_t used;

    if (err) {
        err->code = LIGHTER_E_OS;
        err->errnum = errnum;
        err->sample = -1;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s",
                 strerror(errnum));
    }
    return -errnum;
}

/* lighter_fail for one sample: `sample` is its 0-based index within the batch. */
#define lighter_fail_sample(err, code, index, ...)                                     \
    lighter_fail_at((err), (index), lighter_fail((err), (code), __VA_ARGS__))

static inline int
lighter_fail_at(struct lighter_error *err, uint64_t sample, int result)
{
    if (err)
        err->sample = (int64_t)sample;
    return result;
}

#ifdef __cplusplus
}
#endif

#endif
