/* spec.c - see spec.h. */
#include "daemon/spec.h"

#include "util/error.h"
#include "util/utf8.h"
#include "wire/params.h"

#include <ctype.h>
#include <linux/limits.h>

#define TOTAL_MAX ((int64_t)1 << 40) /* batches: those of all ranks have a sum */

static int
parse_name(struct job_spec *spec, const msgpack_object *params,
           struct lighter_error *err)
{
    msgpack_object_str name;
    int r = params_required(params_string(params, "job", &name, err), "job", err);

    if (r < 0)
        return r;
    if (name.size == 0 || name.size > JOB_NAME_MAX || name.ptr[0] == '.' ||
        memchr(name.ptr, '/', name.size) || !utf8_printable(name.ptr, name.size))
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "'job' expects 1 to %d bytes of printable UTF-8 without '/' and "
            "not starting with '.', got '%.*s'",
            JOB_NAME_MAX, (int)(name.size < 120 ? name.size : 120), name.ptr);
    memcpy(spec->name, name.ptr, name.size);
    return 0;
}

static int
parse_stage(struct job_spec *spec, const msgpack_object *params,
            struct lighter_error *err)
{
    static const char *const stages[] = {"predict", "validate", "test", "fit"};
    msgpack_object_str stage = {7, "predict"};

    if (params_string(params, "stage", &stage, err) < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (params_str_is(stage, stages[i])) {
            strcpy(spec->stage, stages[i]);
            return 0;
        }
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'stage' expects predict, validate, test or fit, got '%.*s'",
                        (int)(stage.size < 64 ? stage.size : 64), stage.ptr);
}

static int
parse_ranks(struct job_spec *spec, const msgpack_object *params,
            struct lighter_error *err)
{
    int64_t rank = 0, world_size = 1, total = 0;
    int r = params_int(params, "world_size", 1, JOB_WORLD_MAX, &world_size, err);

    if (r >= 0)
        r = params_int(params, "rank", 0, world_size - 1, &rank, err);
    if (r >= 0)
        r = params_int(params, "total", 0, TOTAL_MAX, &total, err);
    spec->total = (uint64_t)total;
    spec->rank = (uint32_t)rank;
    spec->world_size = (uint32_t)world_size;
    return r < 0 ? r : 0;
}

static int
parse_rank_wait(struct job_spec *spec, const msgpack_object *params,
                struct lighter_error *err)
{
    double seconds = 0;
    int r = params_double(params, "rank_wait", 0, 1 << 30, &seconds, err);

    spec->rank_wait_ms = r == PARAMS_ABSENT ? -1 : (int64_t)(seconds * 1e3);
    if (seconds > 0 && spec->rank_wait_ms == 0)
        spec->rank_wait_ms = 1; /* a little is not for ever */
    return r < 0 ? r : 0;
}

static bool
is_of_attempts(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

static int
parse_attempt(struct job_spec *spec, const msgpack_object *params,
              struct lighter_error *err)
{
    msgpack_object_str attempt;
    bool is_sound;
    int r = params_string(params, "attempt", &attempt, err);

    if (r != 0)
        return r < 0 ? r : 0;
    is_sound = attempt.size > 0 && attempt.size < JOB_ATTEMPT_SIZE;
    for (uint32_t i = 0; is_sound && i < attempt.size; i++)
        is_sound = is_of_attempts(attempt.ptr[i]);
    if (!is_sound)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'attempt' expects 1 to %d of A-Z, a-z, 0-9, '.', '_' and "
                            "'-', got %u bytes",
                            JOB_ATTEMPT_SIZE - 1, attempt.size);
    memcpy(spec->attempt, attempt.ptr, attempt.size);
    return 0;
}

static int
parse_fingerprint(struct job_spec *spec, const msgpack_object *params,
                  struct lighter_error *err)
{
    msgpack_object_str text;
    int r = params_string(params, "fingerprint", &text, err);

    if (r != 0)
        return r < 0 ? r : 0;
    if (text.size == 0 || text.size > JOB_FINGERPRINT_MAX ||
        memchr(text.ptr, 0, text.size))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'fingerprint' expects 1 to %d bytes without NUL, got %u",
                            JOB_FINGERPRINT_MAX, text.size);
    spec->fingerprint = strndup(text.ptr, text.size);
    return spec->fingerprint ? 0 : fail_nomem(err);
}

/* *ret_cwd is in the zone, NULL where the client brings none. */
static int
parse_cwd(const msgpack_object *params, msgpack_zone *zone, const char **ret_cwd,
          struct lighter_error *err)
{
    msgpack_object_str cwd;
    int r = params_string(params, "cwd", &cwd, err);

    *ret_cwd = NULL;
    if (r == PARAMS_ABSENT)
        return 0;
    if (r < 0)
        return r;
    if (cwd.size == 0 || cwd.size >= PATH_MAX || cwd.ptr[0] != '/' ||
        !utf8_printable(cwd.ptr, cwd.size))
        return lighter_fail(err, LIGHTER_E_PARAMS, "'cwd' expects an absolute path");
    *ret_cwd = params_text(zone, cwd);
    return *ret_cwd ? 0 : fail_nomem(err);
}

static int
parse_writers(struct job_spec *spec, const struct registry *registry,
              const msgpack_object *params, msgpack_zone *zone,
              struct lighter_error *err)
{
    msgpack_object_array array;
    const char *cwd;
    int r = parse_cwd(params, zone, &cwd, err);

    if (job_spec_comes_back(spec) && params_find(params, "pipeline"))
        return r; /* the job knows what that was when it began */
    if (r == 0)
        r = params_required(params_array(params, "writers", &array, err), "writers",
                            err);
    if (r < 0)
        return r;
    if (array.size > JOB_WRITERS_MAX || (!array.size && !spec->policies.n_items))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'writers' expects 1 to %d maps, got %u", JOB_WRITERS_MAX,
                            array.size);
    spec->writers = calloc(array.size + 1u, sizeof *spec->writers);
    if (!spec->writers)
        return fail_nomem(err);
    for (uint32_t i = 0; i < array.size; i++) {
        r = writer_init(&spec->writers[i], registry, cwd, &array.ptr[i], err);
        if (r < 0)
            return r;
        spec->n_writers = i + 1;
    }
    return 0;
}

/* What only a rank that comes back brings. */
static int
parse_resume(struct job_spec *spec, const msgpack_object *params,
             struct lighter_error *err)
{
    int64_t id = 0, answered = 0;
    int r = params_bool(params, "resume", &spec->resume, err);

    if (r >= 0)
        r = params_bool(params, "again", &spec->again, err);
    if (r >= 0)
        r = params_int(params, "id", 1, INT64_MAX, &id, err);
    if (r >= 0)
        r = params_int(params, "answered", 0, INT64_MAX, &answered, err);
    if (r >= 0)
        r = params_int(params, "handle", 1, UINT32_MAX, &spec->handle, err);
    if (r < 0)
        return r;
    spec->id = (uint64_t)id;
    spec->answered = (uint64_t)answered;
    return 0;
}

/* The request itself, to be remembered. */
static int
copy_request(struct job_spec *spec, const struct frame *frame,
             struct lighter_error *err)
{
    spec->request.data = malloc(frame->size);
    if (!spec->request.data)
        return fail_nomem(err);
    memcpy(spec->request.data, frame->data, frame->size);
    spec->request.size = frame->size;
    return 0;
}

/* Who asks for a pipeline is told what that is. */
static int
copy_asked(struct job_spec *spec, const msgpack_object *params,
           struct lighter_error *err)
{
    const msgpack_object *writers = params_find(params, "writers");
    msgpack_sbuffer buffer;

    if (!writers || !params_find(params, "pipeline"))
        return 0;
    msgpack_sbuffer_init(&buffer);
    if (msgpack_pack_object(
            &(msgpack_packer){.data = &buffer, .callback = msgpack_sbuffer_write},
            *writers) < 0) {
        msgpack_sbuffer_destroy(&buffer);
        return fail_nomem(err);
    }
    spec->asked.size = buffer.size;
    spec->asked.data = (uint8_t *)msgpack_sbuffer_release(&buffer);
    return 0;
}

static int
parse(struct job_spec *spec, const struct registry *registry,
      const struct message *message, struct lighter_error *err)
{
    const msgpack_object *params = message->params;
    int r = parse_name(spec, params, err);

    if (r == 0)
        r = parse_stage(spec, params, err);
    if (r == 0)
        r = parse_ranks(spec, params, err);
    if (r == 0)
        r = parse_rank_wait(spec, params, err);
    if (r == 0)
        r = parse_attempt(spec, params, err);
    if (r == 0)
        r = parse_fingerprint(spec, params, err);
    if (r == 0)
        r = parse_resume(spec, params, err);
    if (r == 0)
        r = policies_init(&spec->policies, registry, params, err);
    if (r == 0)
        r = parse_writers(spec, registry, params, message->zone, err);
    if (r == 0)
        r = copy_request(spec, &message->frame, err);
    if (r == 0)
        r = copy_asked(spec, params, err);
    return r;
}

bool
job_spec_comes_back(const struct job_spec *spec)
{
    return spec->resume && spec->id;
}

int
job_spec_check(const struct job_spec *spec, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < spec->n_writers && r == 0; i++)
        r = writer_check(&spec->writers[i], err);
    return r;
}

int
job_spec_init(struct job_spec *spec, const struct registry *registry,
              const struct message *message, struct lighter_error *err)
{
    int r;

    *spec = (struct job_spec){0};
    r = parse(spec, registry, message, err);
    if (r < 0)
        job_spec_done(spec);
    return r;
}

void
job_spec_done(struct job_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_writers; i++)
        writer_done(&spec->writers[i]);
    free(spec->writers);
    free(spec->request.data);
    free(spec->asked.data);
    free(spec->fingerprint);
    spec->fingerprint = NULL;
    spec->writers = NULL;
    spec->request = spec->asked = (struct frame){0};
    spec->n_writers = 0;
    policies_done(&spec->policies);
}
