/* Generates text with the C API.
 *
 *   example_generate <model.transom> <prompt> [max_new_tokens]
 */
#include <transom/transom.h>

#include <stdio.h>
#include <stdlib.h>

static bool print_piece(void *user, size_t row, const char *text, transom_finish finish) {
  (void)user, (void)row, (void)finish;
  fputs(text, stdout);
  fflush(stdout);
  return true;
}

/* Prints the error, if there is one. */
static int failed(transom_status *status) {
  if (!status)
    return 0;
  fprintf(stderr, "error: %s\n", transom_status_message(status));
  transom_status_free(status);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s <model.transom> <prompt> [max_new_tokens]\n", argv[0]);
    return 2;
  }
  transom_generate_options options = TRANSOM_GENERATE_DEFAULTS;
  if (argc > 3)
    options.max_new_tokens = atoi(argv[3]);

  transom_model *model = NULL;
  transom_session *session = NULL;
  const char *prompts[] = {argv[2]};
  int wrong = failed(transom_model_load(argv[1], &model)) || failed(transom_session_create(model, 0, &session)) ||
              failed(transom_generate(session, prompts, 1, &options, print_piece, NULL, NULL));
  if (!wrong)
    putchar('\n');
  transom_session_free(session);
  transom_model_free(model);
  return wrong;
}
