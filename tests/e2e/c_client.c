/* c_client.c - one rank that writes a known epoch through liblighter.
 *
 *     c_client N_BATCHES [resume [FIRST_BATCH_IDX]]
 *
 * writes p.csv and files/ from the working directory, as $RANK of $WORLD_SIZE with
 * $ATTEMPT, $FINGERPRINT and $RANK_WAIT, and prints the number of each batch that it
 * has handed over, at last how many daemons it lost. It complains of what it waits for.
 */
#include <lighter/client.h>

#include <stdlib.h>
#include <unistd.h>

#define N_SAMPLES 4u
#define SMALL 3u
#define LARGE 10000u /* 160 kB a batch: it goes through memory */

static const char writers[] = "[{\"type\": \"csv\", \"options\": {\"path\": \"p.csv\", "
                              "\"keys\": [\"id\", \"x\"]}},"
                              " {\"type\": \"file\", \"options\": {\"directory\": "
                              "\"files\", \"name_key\": \"id\","
                              "  \"value_key\": \"t\", \"writer_fn\": \"tensor\"}}]";

static struct lighter_error err;

static void
require(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "c_client: %s: %s\n", what, err.message);
    exit(EXIT_FAILURE);
}

static void
on_notice(void *context, const struct lighter_notice *notice)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", notice->reason ? notice->reason : "on",
            notice->message);
}

static long
number(const char *text, long otherwise)
{
    return text ? strtol(text, NULL, 10) : otherwise;
}

/* The same memory for each: what was handed over is not ours to keep. */
static void
put_batch(struct lighter_outputs *outputs, long rank, int64_t batch)
{
    static float values[N_SAMPLES * LARGE];
    uint64_t width = batch % 3 ? SMALL : LARGE;
    char names[N_SAMPLES][64];
    const char *ids[N_SAMPLES];
    int64_t x[N_SAMPLES];

    for (unsigned i = 0; i < N_SAMPLES; i++) {
        snprintf(names[i], sizeof names[i], "%ld-%ld-%u", rank, (long)batch, i);
        ids[i] = names[i];
        x[i] = batch * N_SAMPLES + i;
    }
    for (size_t i = 0; i < N_SAMPLES * width; i++)
        values[i] = (float)(batch * 7 + (int64_t)i);
    lighter_outputs_clear(outputs);
    lighter_outputs_strings(outputs, "id", N_SAMPLES, ids);
    lighter_outputs_ints(outputs, "x", N_SAMPLES, x);
    lighter_outputs_tensor(outputs, "t", LIGHTER_FLOAT32, 2,
                           (const uint64_t[]){N_SAMPLES, width}, values);
}

int
main(int argc, char **argv)
{
    long n_batches = number(argc > 1 ? argv[1] : NULL, 10);
    struct lighter_job_spec spec = {
        .job = "c-client",
        .rank = (uint32_t)number(getenv("RANK"), 0),
        .world_size = (uint32_t)number(getenv("WORLD_SIZE"), 1),
        .writers_json = writers,
        .resume = argc > 2,
        .attempt = getenv("ATTEMPT"),
        .fingerprint = getenv("FINGERPRINT"),
        .rank_wait = (double)number(getenv("RANK_WAIT"), 0)};
    struct lighter_connect_spec how = {.client_name = "c_client",
                                       .on_notice = on_notice};
    int64_t first_idx = number(argc > 3 ? argv[3] : NULL, 0);
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_client *client;
    struct lighter_job job;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!outputs)
        return EXIT_FAILURE;
    require(lighter_connect_as(&client, &how, &err), "connect");
    require(lighter_open(client, &spec, &job, &err), "open");
    for (int64_t batch = 0; batch < n_batches; batch++) {
        int64_t batch_idx = first_idx + batch;
        int r = lighter_skip(client, job.handle, N_SAMPLES, batch_idx, 0, &err);

        if (r == LIGHTER_SKIPPED)
            continue;
        require(r, "skip");
        put_batch(outputs, spec.rank, batch);
        require(lighter_write(client, job.handle, outputs, batch_idx, 0, &err),
                "write");
        printf("%ld\n", (long)batch);
        usleep(1000); /* stands for a model */
    }
    require(lighter_end(client, job.handle, true, &err), "end");
    printf("lost %ld\n", (long)lighter_hello(client)->n_reconnects);
    lighter_outputs_free(outputs);
    lighter_disconnect(client);
    return EXIT_SUCCESS;
}
