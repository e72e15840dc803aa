// The C API over the C++ classes: handles, statuses, and no exception past this file. See transom/transom.h.
#define TRANSOM_BUILD
#include "runtime/include/transom/transom.h"

#include "runtime/Classifier.h"
#include "runtime/Embedder.h"
#include "runtime/generate/PaddedPrompts.h"
#include "runtime/generate/TextGenerator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

using namespace transom;

static_assert(TRANSOM_INTERNAL == static_cast<int>(StatusCode::internal));
static_assert(TRANSOM_BOOL == static_cast<int>(DType::boolean));
static_assert(TRANSOM_FINISH_STOPPED == static_cast<int>(FinishReason::stopped));

struct transom_status {
  transom_code code;
  std::string message;
};

struct transom_model {
  std::shared_ptr<const Model> model;
};

struct transom_session {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::optional<TextGenerator> generator; // made when first used
  std::optional<Embedder> embedder;
  std::optional<Classifier> classifier;
  std::vector<const char *> labels;
  std::vector<TensorView> inputs;
  std::vector<transom_tensor> outputs;
  std::vector<std::string> outputNames;
  std::string device, deviceName;
};

namespace {

transom_status *toC(const Status &status) {
  return status.ok() ? nullptr : new transom_status{static_cast<transom_code>(status.code()), status.message()};
}

/// What to give where not even a message can be allocated.
transom_status *outOfMemory() {
  static transom_status *const status = new transom_status{TRANSOM_OUT_OF_MEMORY, "out of memory"};
  return status;
}

/// Runs `body`, which returns a Status.
template <typename Body> transom_status *guarded(Body body) {
  try {
    return toC(body());
  } catch (const std::bad_alloc &) {
    return outOfMemory();
  } catch (const std::exception &failure) {
    return toC(Status(StatusCode::internal, failure.what()));
  }
}

Status missing(const char *what) { return error(StatusCode::invalidArgument, "{} is null", what); }

/// Memory that the caller frees with free().
template <typename T> T *copyOut(const T *data, size_t count) {
  auto *copy = static_cast<T *>(std::malloc((count + 1) * sizeof(T)));
  if (!copy)
    throw std::bad_alloc();
  std::copy_n(data, count, copy);
  copy[count] = T();
  return copy;
}

Result<const tokenizer::Tokenizer *> tokenizerOf(const transom_model &model) {
  if (const tokenizer::Tokenizer *tokenizer = model.model->tokenizer())
    return tokenizer;
  return error(StatusCode::unsupported, "the artifact carries no tokenizer");
}

Result<std::vector<std::string>> textsOf(const char *const *texts, size_t count) {
  std::vector<std::string> out;
  for (size_t i = 0; i < count; ++i) {
    if (!texts || !texts[i])
      return missing("a text");
    out.emplace_back(texts[i]);
  }
  return out;
}

Result<Embedder *> embedderOf(transom_session &session) {
  if (!session.embedder) {
    TRANSOM_ASSIGN(session.embedder, Embedder::create(*session.session));
  }
  return &*session.embedder;
}

Result<Classifier *> classifierOf(transom_session &session) {
  if (!session.classifier) {
    TRANSOM_ASSIGN(session.classifier, Classifier::create(*session.session));
    for (const std::string &label : session.classifier->labels())
      session.labels.push_back(label.c_str());
  }
  return &*session.classifier;
}

Result<tokenizer::Encoding> rowOf(const Classifier &classifier, const transom_text &text) {
  if (text.text)
    return classifier.encode(text.text, text.pair ? std::optional<std::string_view>(text.pair) : std::nullopt);
  if (!text.tokens && text.token_count)
    return missing("text and tokens");
  std::span types(text.types, text.types ? text.token_count : 0);
  return classifier.encode({text.tokens, text.tokens + text.token_count}, {types.begin(), types.end()});
}

Result<std::vector<tokenizer::Encoding>> rowsOf(const Classifier &classifier, const transom_text *texts, size_t count) {
  if (!texts && count)
    return missing("texts");
  std::vector<tokenizer::Encoding> rows;
  for (size_t i = 0; i < count; ++i) {
    Result<tokenizer::Encoding> row = rowOf(classifier, texts[i]);
    if (!row.ok())
      return row.status().within(fmt::format("text {}", i));
    rows.push_back(std::move(*row));
  }
  return rows;
}

Status createSession(const transom_model *model, const char *device, uint32_t threads, transom_session **out_session) {
  if (!model || !device || !out_session)
    return missing("model, device or out_session");
  auto session = std::make_unique<transom_session>();
  session->model = model->model;
  TRANSOM_ASSIGN(DeviceChoice choice, DeviceChoice::parse(device));
  TRANSOM_ASSIGN(session->session, Session::create(model->model, {.device = choice, .threads = threads}));
  session->device = session->session->device().toString();
  session->deviceName = session->session->deviceName();
  *out_session = session.release();
  return {};
}

transom_memory toC(const MemoryPlan &plan) {
  return {plan.weights, plan.states, plan.arena, plan.staging, plan.scratch, plan.pinned};
}

Status run(transom_session &session, const char *program, std::span<const transom_tensor> inputs) {
  TRANSOM_ASSIGN(size_t index, session.session->programIndex(program));
  session.inputs.clear();
  for (const transom_tensor &input : inputs) {
    if (!input.name || (input.rank && !input.shape))
      return missing("an input's name or shape");
    if (static_cast<unsigned>(input.dtype) > TRANSOM_BOOL)
      return error(StatusCode::invalidArgument, "input \"{}\": unknown dtype {}", input.name,
                   static_cast<int>(input.dtype));
    session.inputs.push_back({input.name, static_cast<DType>(input.dtype), {input.shape, input.rank}, input.data});
  }
  const artifact::Program &wanted = session.model->contents().programs[index];
  std::optional<CompactedInputs> compacted;
  if (needCompaction(wanted, session.inputs)) {
    TRANSOM_ASSIGN(compacted, CompactedInputs::of(wanted, session.inputs));
  }
  TRANSOM_ASSIGN(auto outputs, session.session->run(index, compacted ? compacted->views() : session.inputs));
  session.outputs.clear();
  session.outputNames.clear();
  session.outputNames.reserve(outputs.size());
  for (const TensorView &output : outputs)
    session.outputs.push_back({session.outputNames.emplace_back(output.name).c_str(),
                               static_cast<transom_dtype>(output.dtype), output.shape.size(), output.shape.data(),
                               output.data});
  return {};
}

Status generate(transom_session &session, const std::vector<std::string> &prompts,
                const transom_generate_options &options, transom_text_callback onText, void *user,
                std::vector<std::string> &texts) {
  if (!session.generator) {
    TRANSOM_ASSIGN(session.generator, TextGenerator::create(*session.session));
  }
  GenerateOptions chosen{.maxNewTokens = options.max_new_tokens, .temperature = options.temperature,
                         .topK = options.top_k, .topP = options.top_p, .seed = options.seed,
                         .ignoreEos = options.ignore_eos};
  TextCallback forward = [&](const TextEvent &event) {
    return onText(user, event.row, std::string(event.text).c_str(), static_cast<transom_finish>(event.finish));
  };
  TRANSOM_ASSIGN(GeneratedText generated,
                 session.generator->generate(prompts, options.chat ? PromptForm::chat : PromptForm::plain, chosen,
                                             onText ? forward : TextCallback()));
  texts = std::move(generated.texts);
  return {};
}

} // namespace

extern "C" {

transom_code transom_status_code(const transom_status *status) { return status ? status->code : TRANSOM_OK; }
const char *transom_status_message(const transom_status *status) { return status ? status->message.c_str() : ""; }
void transom_status_free(transom_status *status) {
  if (status != outOfMemory())
    delete status;
}
const char *transom_version(void) { return TRANSOM_VERSION; }

transom_status *transom_model_load(const char *path, transom_model **out_model) {
  return guarded([&]() -> Status {
    if (!path || !out_model)
      return missing("path or out_model");
    TRANSOM_ASSIGN(auto model, Model::load(path));
    *out_model = new transom_model{std::move(model)};
    return {};
  });
}

void transom_model_free(transom_model *model) { delete model; }

const char *transom_model_metadata(const transom_model *model, const char *key) {
  const artifact::Contents &contents = model->model->contents();
  std::string_view name = key ? key : "";
  if (name == "model")
    return contents.model.c_str();
  if (name == "architecture")
    return contents.architecture.c_str();
  if (name == "task")
    return contents.task.c_str();
  const std::string *value = contents.findMetadata(name);
  return value ? value->c_str() : nullptr;
}

void transom_model_memory(const transom_model *model, uint32_t threads, transom_memory *out_memory) {
  *out_memory = toC(model->model->memoryPlan(threads ? threads : ThreadPool::availableProcessors()));
}

transom_status *transom_model_memory_on(const transom_model *model, const char *device, uint32_t threads, transom_memory *out_memory) {
  return guarded([&]() -> Status {
    if (!model || !device || !out_memory)
      return missing("model, device or out_memory");
    TRANSOM_ASSIGN(DeviceChoice choice, DeviceChoice::parse(device));
    TRANSOM_ASSIGN(DeviceChoice resolved, resolveDevice(model->model->contents(), choice));
    bool cuda = resolved.kind == DeviceChoice::Kind::cuda;
    *out_memory = toC(model->model->memoryPlan(cuda ? artifact::Device::cuda : artifact::Device::cpu,
                                               threads ? threads : ThreadPool::availableProcessors()));
    return {};
  });
}

transom_status *transom_tokenize(const transom_model *model, const char *text, size_t length, bool special,
                                 int32_t **out_tokens, size_t *out_count) {
  return guarded([&]() -> Status {
    if (!model || (!text && length) || !out_tokens || !out_count)
      return missing("an argument");
    TRANSOM_ASSIGN(const tokenizer::Tokenizer *tokenizer, tokenizerOf(*model));
    std::vector<int32_t> tokens = tokenizer->encode({text, length}, {.addSpecialTokens = special});
    *out_tokens = copyOut(tokens.data(), tokens.size());
    *out_count = tokens.size();
    return {};
  });
}

void transom_tokens_free(int32_t *tokens) { std::free(tokens); }

transom_status *transom_detokenize(const transom_model *model, const int32_t *tokens, size_t count, char **out_text) {
  return guarded([&]() -> Status {
    if (!model || (!tokens && count) || !out_text)
      return missing("an argument");
    TRANSOM_ASSIGN(const tokenizer::Tokenizer *tokenizer, tokenizerOf(*model));
    std::string text = tokenizer->decode({tokens, count});
    *out_text = copyOut(text.data(), text.size());
    return {};
  });
}

void transom_string_free(char *text) { std::free(text); }

transom_status *transom_session_create(const transom_model *model, uint32_t threads, transom_session **out_session) {
  return guarded([&] { return createSession(model, "auto", threads, out_session); });
}

transom_status *transom_session_create_on(const transom_model *model, const char *device, uint32_t threads,
                                          transom_session **out_session) {
  return guarded([&] { return createSession(model, device, threads, out_session); });
}

const char *transom_session_device(const transom_session *session) { return session->device.c_str(); }
const char *transom_session_device_name(const transom_session *session) { return session->deviceName.c_str(); }

void transom_session_free(transom_session *session) { delete session; }

transom_status *transom_run(transom_session *session, const char *program, const transom_tensor *inputs,
                            size_t input_count, const transom_tensor **out_outputs, size_t *out_count) {
  return guarded([&]() -> Status {
    if (!session || !program || (!inputs && input_count) || !out_outputs || !out_count)
      return missing("an argument");
    TRANSOM_RETURN_IF_ERROR(run(*session, program, {inputs, input_count}));
    *out_outputs = session->outputs.data();
    *out_count = session->outputs.size();
    return {};
  });
}

transom_status *transom_generate(transom_session *session, const char *const *prompts, size_t count,
                                 const transom_generate_options *options, transom_text_callback on_text, void *user,
                                 char ***out_texts) {
  return guarded([&]() -> Status {
    if (!session || !options)
      return missing("session or options");
    TRANSOM_ASSIGN(std::vector<std::string> given, textsOf(prompts, count));
    std::vector<std::string> texts;
    TRANSOM_RETURN_IF_ERROR(generate(*session, given, *options, on_text, user, texts));
    if (!out_texts)
      return {};
    std::vector<char *> copies(count);
    for (size_t i = 0; i < count; ++i)
      copies[i] = copyOut(texts[i].data(), texts[i].size());
    *out_texts = copyOut(copies.data(), count);
    return {};
  });
}

void transom_texts_free(char **texts, size_t count) {
  for (size_t i = 0; texts && i < count; ++i)
    std::free(texts[i]);
  std::free(texts);
}

transom_status *transom_embedding_dim(transom_session *session, size_t *out_dim) {
  return guarded([&]() -> Status {
    if (!session || !out_dim)
      return missing("session or out_dim");
    TRANSOM_ASSIGN(Embedder * embedder, embedderOf(*session));
    *out_dim = static_cast<size_t>(embedder->dimension());
    return {};
  });
}

transom_status *transom_embed(transom_session *session, const char *const *texts, size_t count, float *vectors) {
  return guarded([&]() -> Status {
    if (!session || (!vectors && count))
      return missing("session or vectors");
    TRANSOM_ASSIGN(Embedder * embedder, embedderOf(*session));
    TRANSOM_ASSIGN(std::vector<std::string> given, textsOf(texts, count));
    TRANSOM_ASSIGN(std::vector<float> out, embedder->embed(given));
    std::copy(out.begin(), out.end(), vectors);
    return {};
  });
}

transom_status *transom_labels(transom_session *session, const char *const **out_labels, size_t *out_count) {
  return guarded([&]() -> Status {
    if (!session || !out_labels || !out_count)
      return missing("an argument");
    TRANSOM_RETURN_IF_ERROR(classifierOf(*session).status());
    *out_labels = session->labels.data();
    *out_count = session->labels.size();
    return {};
  });
}

transom_status *transom_classify(transom_session *session, const transom_text *texts, size_t count, float *logits, float *scores) {
  return guarded([&]() -> Status {
    if (!session)
      return missing("session");
    TRANSOM_ASSIGN(Classifier * classifier, classifierOf(*session));
    TRANSOM_ASSIGN(std::vector<tokenizer::Encoding> rows, rowsOf(*classifier, texts, count));
    TRANSOM_ASSIGN(LabelScores found, classifier->classify(rows));
    if (logits)
      std::ranges::copy(found.logits, logits);
    if (scores)
      std::ranges::copy(found.scores, scores);
    return {};
  });
}

transom_status *transom_classify_tokens(transom_session *session, const transom_text *texts, size_t count,
                                        transom_token_label **out_labels, size_t *out_count) {
  return guarded([&]() -> Status {
    if (!session || !out_labels || !out_count)
      return missing("an argument");
    TRANSOM_ASSIGN(Classifier * classifier, classifierOf(*session));
    TRANSOM_ASSIGN(std::vector<tokenizer::Encoding> rows, rowsOf(*classifier, texts, count));
    TRANSOM_ASSIGN(std::vector<TokenLabel> found, classifier->classifyTokens(rows));
    std::vector<transom_token_label> labels;
    for (const TokenLabel &token : found) {
      const tokenizer::Encoding &row = rows[token.row];
      tokenizer::TokenSpan span = row.spans.empty() ? tokenizer::TokenSpan() : row.spans[token.position];
      labels.push_back({token.row, token.position, row.ids[token.position], span.text, span.begin, span.end, token.label, token.score});
    }
    *out_labels = copyOut(labels.data(), labels.size());
    *out_count = labels.size();
    return {};
  });
}

void transom_token_labels_free(transom_token_label *labels) { std::free(labels); }

transom_status *transom_fill_mask(transom_session *session, const transom_text *texts, size_t count, size_t top_k, int32_t mask_token,
                                  transom_mask_token **out_tokens, size_t *out_count) {
  return guarded([&]() -> Status {
    if (!session || !out_tokens || !out_count)
      return missing("an argument");
    if (top_k == 0)
      return error(StatusCode::invalidArgument, "top_k: expected at least 1, found 0");
    TRANSOM_ASSIGN(Classifier * classifier, classifierOf(*session));
    TRANSOM_ASSIGN(std::vector<tokenizer::Encoding> rows, rowsOf(*classifier, texts, count));
    TRANSOM_ASSIGN(std::vector<MaskToken> found, classifier->fillMasks(rows, top_k, mask_token));
    std::vector<transom_mask_token> tokens;
    for (const MaskToken &token : found)
      tokens.push_back({token.row, token.position, token.token, token.score});
    *out_tokens = copyOut(tokens.data(), tokens.size());
    *out_count = tokens.size();
    return {};
  });
}

void transom_mask_tokens_free(transom_mask_token *tokens) { std::free(tokens); }

} // extern "C"
