/* Transom's C API: load a compiled model and run it. The C++ wrapper is transom.hpp.
 *
 * Errors: a function that can fail returns a transom_status *, which is NULL on success; the caller frees it.
 * Ownership: what a function gives through an out_ parameter belongs to the caller, who frees it with the function named
 * there, unless a comment says otherwise. Every free function takes NULL. Out-parameters are set on success only.
 * Text is UTF-8. Strings in are NUL-terminated unless a length goes with them; strings out always are.
 * Threads: a model may be used by several threads at once. A session, with all that runs on it, by one thread at a time;
 * sessions of one model may run at the same time. Nothing is thrown, nothing ends the process.
 * Devices are text: "cpu"; "cuda" or "cuda:0" and so on, NVIDIA's GPUs as the driver counts them; "auto" is the first GPU where the
 * artifact has programs for CUDA and the machine a GPU, else the CPU.
 * Loading an artifact, or creating a session, runs code that the file carries: use only artifacts that you trust.
 */
#ifndef TRANSOM_TRANSOM_H
#define TRANSOM_TRANSOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TRANSOM_BUILD)
#define TRANSOM_API __attribute__((visibility("default")))
#else
#define TRANSOM_API
#endif

/* ---- status ---------------------------------------------------------------------------------------------------- */

typedef struct transom_status transom_status;

typedef enum transom_code {
  TRANSOM_OK = 0,
  TRANSOM_INVALID_ARGUMENT = 1, /* an option or call is wrong */
  TRANSOM_INVALID_FILE = 2,     /* a file is truncated, corrupt or of another kind */
  TRANSOM_UNSUPPORTED = 3,      /* well formed, but not possible with this version, machine or model */
  TRANSOM_NOT_FOUND = 4,        /* a file, program or library is missing */
  TRANSOM_IO = 5,               /* the operating system refused */
  TRANSOM_OUT_OF_MEMORY = 6,
  TRANSOM_INTERNAL = 7          /* a bug of Transom */
} transom_code;

/* TRANSOM_OK for NULL. */
TRANSOM_API transom_code transom_status_code(const transom_status *status);
/* One line, which lives as long as the status; "" for NULL. */
TRANSOM_API const char *transom_status_message(const transom_status *status);
TRANSOM_API void transom_status_free(transom_status *status);

/* "0.1.0"; static. */
TRANSOM_API const char *transom_version(void);

/* ---- models ---------------------------------------------------------------------------------------------------- */

typedef struct transom_model transom_model;

/* Verifies the whole file. Its code is loaded here where it is for the CPU alone, else when a session first needs it. Sessions keep
 * what they need: a model may be freed before them. */
TRANSOM_API transom_status *transom_model_load(const char *path, transom_model **out_model);
TRANSOM_API void transom_model_free(transom_model *model);

/* A value that the artifact carries, such as "context_length"; also "model", "architecture", "task". NULL if it has none.
 * Lives as long as the model. */
TRANSOM_API const char *transom_model_metadata(const transom_model *model, const char *key);

/* Bytes that sessions share (the weights), and bytes that one session takes on a device: caches, intermediate values, inputs and
 * outputs, and scratch of the threads or kernels. On a GPU `pinned` is page-locked memory of the host beside it. Sessions allocate
 * all of it when they are created and nothing more afterwards, the libraries' own buffers and CUDA graphs aside. */
typedef struct transom_memory {
  uint64_t weights, states, arena, staging, scratch, pinned;
} transom_memory;
/* On the CPU with that many threads (0: all processors), or on a GPU where the artifact has no programs for the CPU. */
TRANSOM_API void transom_model_memory(const transom_model *model, uint32_t threads, transom_memory *out_memory);
/* `device` as for transom_session_create_on. `threads` matter on the CPU only. */
TRANSOM_API transom_status *transom_model_memory_on(const transom_model *model, const char *device, uint32_t threads,
                                                    transom_memory *out_memory);

/* ---- text and tokens -------------------------------------------------------------------------------------------- */

/* Tokens of a text, with the special tokens that the model puts around texts if `special`. transom_tokens_free. */
TRANSOM_API transom_status *transom_tokenize(const transom_model *model, const char *text, size_t length, bool special,
                                             int32_t **out_tokens, size_t *out_count);
TRANSOM_API void transom_tokens_free(int32_t *tokens);
/* Text of tokens, special ones left out. transom_string_free. */
TRANSOM_API transom_status *transom_detokenize(const transom_model *model, const int32_t *tokens, size_t count,
                                               char **out_text);
TRANSOM_API void transom_string_free(char *text);

/* ---- sessions --------------------------------------------------------------------------------------------------- */

typedef struct transom_session transom_session;

/* On "auto". `threads`: on the CPU, 0 for one per processor. */
TRANSOM_API transom_status *transom_session_create(const transom_model *model, uint32_t threads,
                                                   transom_session **out_session);
/* On a device. The first session of a model on a GPU uploads the weights, which stay there as long as the model lives. Errors:
 * TRANSOM_UNSUPPORTED where the artifact has no programs for the device, or no kernels for its architecture; TRANSOM_NOT_FOUND where
 * there is no such device, driver or library; TRANSOM_OUT_OF_MEMORY with need and have. */
TRANSOM_API transom_status *transom_session_create_on(const transom_model *model, const char *device, uint32_t threads,
                                                      transom_session **out_session);
TRANSOM_API void transom_session_free(transom_session *session);
/* "cpu" or "cuda:0"; and "CPU" or what the driver calls the GPU. Both live as long as the session. */
TRANSOM_API const char *transom_session_device(const transom_session *session);
TRANSOM_API const char *transom_session_device_name(const transom_session *session);

typedef enum transom_dtype {
  TRANSOM_F32 = 0,
  TRANSOM_F16 = 1,
  TRANSOM_BF16 = 2,
  TRANSOM_F64 = 3,
  TRANSOM_I8 = 4,
  TRANSOM_U8 = 5,
  TRANSOM_I16 = 6,
  TRANSOM_I32 = 7,
  TRANSOM_I64 = 8,
  TRANSOM_BOOL = 9 /* one byte, 0 or 1 */
} transom_dtype;

/* A dense row-major tensor. */
typedef struct transom_tensor {
  const char *name;
  transom_dtype dtype;
  size_t rank;
  const int64_t *shape;
  const void *data;
} transom_tensor;

/* Runs a program ("main", "prefill", ...) on all its inputs, in any order. The outputs, and all they point to, belong to
 * the session and live until its next run. "prefill" takes prompts padded on either side, or with holes, too: give
 * "attention_mask" [batch, seq] in place of "lengths", and leave "past_lengths" out where rows have no past. */
TRANSOM_API transom_status *transom_run(transom_session *session, const char *program, const transom_tensor *inputs,
                                        size_t input_count, const transom_tensor **out_outputs, size_t *out_count);

/* ---- generation ------------------------------------------------------------------------------------------------- */

typedef enum transom_finish {
  TRANSOM_FINISH_NONE = 0,    /* more follows */
  TRANSOM_FINISH_EOS = 1,     /* the model ended the text */
  TRANSOM_FINISH_LENGTH = 2,  /* max_new_tokens */
  TRANSOM_FINISH_CONTEXT = 3, /* the model's context is full */
  TRANSOM_FINISH_STOPPED = 4  /* the callback said so */
} transom_finish;

/* Start from TRANSOM_GENERATE_DEFAULTS. */
typedef struct transom_generate_options {
  int64_t max_new_tokens; /* at least 1 */
  float temperature;      /* 0: greedy */
  int32_t top_k;          /* 0: off */
  float top_p;            /* 1: off */
  uint64_t seed;
  bool chat;       /* prompts are a user's messages in the model's chat format */
  bool ignore_eos; /* go on to max_new_tokens */
} transom_generate_options;
#define TRANSOM_GENERATE_DEFAULTS {128, 0.0f, 0, 1.0f, 0, false, false}

/* A piece of generated text of prompt `row`: whole characters, perhaps none. Return false to stop all rows. */
typedef bool (*transom_text_callback)(void *user, size_t row, const char *text, transom_finish finish);

/* Continues each prompt; `on_text` is called on the calling thread for each token and may be NULL. `out_texts` may be NULL;
 * else it gets one string per prompt, without the prompt: transom_texts_free with the same count. */
TRANSOM_API transom_status *transom_generate(transom_session *session, const char *const *prompts, size_t count,
                                             const transom_generate_options *options, transom_text_callback on_text,
                                             void *user, char ***out_texts);
TRANSOM_API void transom_texts_free(char **texts, size_t count);

/* ---- embedding -------------------------------------------------------------------------------------------------- */

/* Length of the model's vectors. */
TRANSOM_API transom_status *transom_embedding_dim(transom_session *session, size_t *out_dim);
/* Writes [count, dim] floats, in the texts' order. Texts longer than the model takes are cut. */
TRANSOM_API transom_status *transom_embed(transom_session *session, const char *const *texts, size_t count,
                                          float *vectors);

/* ---- classification --------------------------------------------------------------------------------------------- */

/* What a classifier reads: a text, or a pair of texts as rerankers take them, with the tokenizer's template around them and cut where
 * the model takes fewer tokens; or token ids, taken as they are. */
typedef struct transom_text {
  const char *text;      /* NULL: token ids follow */
  const char *pair;      /* the second text; NULL: none */
  const int32_t *tokens; /* special tokens included */
  const int32_t *types;  /* token types, one a token; NULL: all are 0 */
  size_t token_count;
} transom_text;

/* The calls below take texts in any number and order; those of similar length are run together. Each is for one head: a model that has
 * another is TRANSOM_UNSUPPORTED, with a message that names the head and the call for it. So are texts for an artifact without a
 * tokenizer, and pairs where its tokenizer has no template for them. */

/* Names of the model's labels, in the order of its logits; they live as long as the session. Masked language models have none. */
TRANSOM_API transom_status *transom_labels(transom_session *session, const char *const **out_labels, size_t *out_count);
/* Sequence classification. Writes [count, labels] floats each, in the texts' order; either may be NULL. Scores are, as metadata
 * "score_function" says, the softmax over a text's logits, the sigmoid of each ("sigmoid": one label, or several that may hold
 * together), or the logits ("none": regression). */
TRANSOM_API transom_status *transom_classify(transom_session *session, const transom_text *texts, size_t count, float *logits,
                                             float *scores);

typedef struct transom_token_label {
  size_t text;       /* which of the texts given */
  size_t position;   /* among its tokens, those of the template included */
  int32_t token;
  int32_t part;      /* where the token stands: 0 in the text, 1 in its pair, -1 unknown, as token ids were given */
  size_t begin, end; /* bytes of that text; whole characters */
  size_t label;      /* into transom_labels */
  float score;       /* softmax over the labels */
} transom_token_label;
/* Token classification: the best label of each token but those that the tokenizer's template adds; of token ids, of all. Sorted by text
 * and position. transom_token_labels_free. */
TRANSOM_API transom_status *transom_classify_tokens(transom_session *session, const transom_text *texts, size_t count,
                                                    transom_token_label **out_labels, size_t *out_count);
TRANSOM_API void transom_token_labels_free(transom_token_label *labels);

typedef struct transom_mask_token {
  size_t text;     /* which of the texts given */
  size_t position; /* of the mask, among its tokens, those of the template included */
  int32_t token;   /* what may stand there; transom_detokenize gives its text */
  float score;     /* softmax over the vocabulary */
} transom_mask_token;
/* Masked language models: the top_k best tokens, at least 1, for each mask token in each text; sorted by text and position, the best
 * first. `mask_token` is the mask's id, or -1 for the tokenizer's. A text without a mask is TRANSOM_INVALID_ARGUMENT.
 * transom_mask_tokens_free. */
TRANSOM_API transom_status *transom_fill_mask(transom_session *session, const transom_text *texts, size_t count, size_t top_k,
                                              int32_t mask_token, transom_mask_token **out_tokens, size_t *out_count);
TRANSOM_API void transom_mask_tokens_free(transom_mask_token *tokens);

#ifdef __cplusplus
}
#endif

#endif /* TRANSOM_TRANSOM_H */
