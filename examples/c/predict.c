/* predict.c - a C program that hands its predictions to lighterd.
 *
 *     cc predict.c $(pkg-config --cflags --libs liblighter) -o predict
 *     lighterd &
 *     ./predict
 *
 * writes scores.csv, and a file embeddings/ID.pt for each sample (for torch.load).
 */
#include <lighter/client.h>

#include <stdlib.h>

#define N_BATCHES 10
#define BATCH_SIZE 4
#define N_FEATURES 8

/* What to write: one entry an output. `lighterctl plugins` shows what there is. */
static const char writers[] =
    "[{\"type\": \"csv\","
    "  \"options\": {\"path\": \"scores.csv\", \"keys\": [\"id\", \"score\"]}},"
    " {\"type\": \"file\","
    "  \"options\": {\"directory\": \"embeddings\", \"value_key\": \"embedding\","
    "              \"writer_fn\": \"tensor\", \"name_key\": \"id\"}}]";

static void
fail(const char *what, const struct lighter_error *err)
{
    fprintf(stderr, "predict: %s: %s\n", what, err->message);
    exit(EXIT_FAILURE); /* the job is interrupted now: `lighterctl jobs` has it */
}

/* Stands for a model. */
static void
predict(int64_t batch, char names[][16], double *scores, float *embeddings)
{
    for (int i = 0; i < BATCH_SIZE; i++) {
        snprintf(names[i], 16, "%04d", (int)batch * BATCH_SIZE + i);
        scores[i] = (double)(batch + 1) / (i + 1);
        for (int j = 0; j < N_FEATURES; j++)
            embeddings[i * N_FEATURES + j] = (float)(scores[i] * j);
    }
}

static void
write_batch(struct lighter_client *client, int64_t job, int64_t batch,
            struct lighter_outputs *outputs)
{
    /* The first length counts the samples: 4 embeddings of 8 floats. */
    static const uint64_t shape[] = {BATCH_SIZE, N_FEATURES};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    float embeddings[BATCH_SIZE * N_FEATURES];
    char names[BATCH_SIZE][16];
    const char *ids[BATCH_SIZE];
    double scores[BATCH_SIZE];

    predict(batch, names, scores, embeddings);
    for (int i = 0; i < BATCH_SIZE; i++)
        ids[i] = names[i];

    /* These need no checks: lighter_write() says what was wrong with them. */
    lighter_outputs_clear(outputs);
    lighter_outputs_strings(outputs, "id", BATCH_SIZE, ids);
    lighter_outputs_floats(outputs, "score", BATCH_SIZE, scores);
    lighter_outputs_tensor(outputs, "embedding", LIGHTER_FLOAT32, 2, shape, embeddings);

    /* Back in microseconds; the daemon writes while the next batch is computed. */
    if (lighter_write(client, job, outputs, batch, 0, &err) < 0)
        fail("write", &err);
}

int
main(void)
{
    struct lighter_job_spec spec = {.job = "predict-example", .writers_json = writers};
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_job job;

    if (!outputs)
        return EXIT_FAILURE;
    if (lighter_connect(&client, NULL, "predict 1.0", &err) < 0)
        fail("connect", &err);
    if (lighter_open(client, &spec, &job, &err) < 0)
        fail("open", &err);
    for (size_t i = 0; i < job.n_warnings; i++)
        fprintf(stderr, "predict: %s\n", job.warnings[i]);

    for (int64_t batch = 0; batch < N_BATCHES; batch++)
        write_batch(client, job.handle, batch, outputs);

    /* Only now scores.csv and embeddings/ appear, whole. */
    if (lighter_end(client, job.handle, true, &err) < 0)
        fail("end", &err);
    lighter_outputs_free(outputs);
    lighter_disconnect(client);
    return EXIT_SUCCESS;
}
