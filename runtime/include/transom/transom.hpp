// A thin C++20 wrapper of transom.h: handles that free themselves, containers instead of pointers, and exceptions of
// type transom::api::Error instead of statuses. Header only; ownership and threading are those of transom.h.
#pragma once

#include "transom.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace transom::api {

class Error : public std::runtime_error {
public:
  Error(transom_code code, const char *message) : std::runtime_error(message), code_(code) {}
  transom_code code() const { return code_; }

private:
  transom_code code_;
};

namespace detail {
inline void check(transom_status *status) {
  if (!status)
    return;
  Error error(transom_status_code(status), transom_status_message(status));
  transom_status_free(status);
  throw error;
}
template <auto Free> struct Deleter {
  template <typename T> void operator()(T *object) const { Free(object); }
};
inline std::vector<const char *> pointersTo(std::span<const std::string> texts) {
  std::vector<const char *> pointers;
  for (const std::string &text : texts)
    pointers.push_back(text.c_str());
  return pointers;
}
} // namespace detail

inline std::string version() { return transom_version(); }

class Model {
public:
  explicit Model(const std::string &path) {
    transom_model *model = nullptr;
    detail::check(transom_model_load(path.c_str(), &model));
    handle_.reset(model);
  }
  /// "" where there is none.
  std::string metadata(const std::string &key) const {
    const char *value = transom_model_metadata(get(), key.c_str());
    return value ? value : "";
  }
  transom_memory memory(uint32_t threads = 0) const {
    transom_memory memory;
    transom_model_memory(get(), threads, &memory);
    return memory;
  }
  transom_memory memoryOn(const std::string &device, uint32_t threads = 0) const {
    transom_memory memory;
    detail::check(transom_model_memory_on(get(), device.c_str(), threads, &memory));
    return memory;
  }
  std::vector<int32_t> tokenize(std::string_view text, bool special = true) const {
    int32_t *tokens = nullptr;
    size_t count = 0;
    detail::check(transom_tokenize(get(), text.data(), text.size(), special, &tokens, &count));
    std::unique_ptr<int32_t, detail::Deleter<transom_tokens_free>> owner(tokens);
    return {tokens, tokens + count};
  }
  std::string detokenize(std::span<const int32_t> tokens) const {
    char *text = nullptr;
    detail::check(transom_detokenize(get(), tokens.data(), tokens.size(), &text));
    return std::unique_ptr<char, detail::Deleter<transom_string_free>>(text).get();
  }
  transom_model *get() const { return handle_.get(); }

private:
  std::unique_ptr<transom_model, detail::Deleter<transom_model_free>> handle_;
};

struct GenerateOptions : transom_generate_options {
  GenerateOptions() : transom_generate_options(TRANSOM_GENERATE_DEFAULTS) {}
};
/// False stops all rows. It may throw: the exception passes through generate().
using TextCallback = std::function<bool(size_t row, std::string_view text, transom_finish finish)>;

/// What a classifier reads: a text, or with `pair` two, or where `tokens` has any those instead, with their types or none.
struct Text {
  Text(std::string text) : text(std::move(text)) {}
  Text(std::string text, std::string pair) : text(std::move(text)), pair(std::move(pair)) {}
  Text(std::vector<int32_t> tokens, std::vector<int32_t> types = {}) : tokens(std::move(tokens)), types(std::move(types)) {}
  std::string text;
  std::optional<std::string> pair;
  std::vector<int32_t> tokens, types;
};

namespace detail {
/// Views that live as long as the texts.
inline std::vector<transom_text> viewsOf(std::span<const Text> texts) {
  std::vector<transom_text> views;
  for (const Text &text : texts) {
    if (!text.types.empty() && text.types.size() != text.tokens.size())
      throw Error(TRANSOM_INVALID_ARGUMENT, "expected a type for each token, or none");
    if (text.tokens.empty())
      views.push_back({text.text.c_str(), text.pair ? text.pair->c_str() : nullptr, nullptr, nullptr, 0});
    else
      views.push_back({nullptr, nullptr, text.tokens.data(), text.types.empty() ? nullptr : text.types.data(), text.tokens.size()});
  }
  return views;
}
} // namespace detail

/// [texts, labels] each, row-major.
struct LabelScores {
  std::vector<float> logits, scores;
};

class Session {
public:
  explicit Session(const Model &model, uint32_t threads = 0) {
    transom_session *session = nullptr;
    detail::check(transom_session_create(model.get(), threads, &session));
    handle_.reset(session);
  }
  /// `device`: "auto", "cpu", "cuda:0".
  Session(const Model &model, const std::string &device, uint32_t threads = 0) {
    transom_session *session = nullptr;
    detail::check(transom_session_create_on(model.get(), device.c_str(), threads, &session));
    handle_.reset(session);
  }
  std::string device() const { return transom_session_device(get()); }
  std::string deviceName() const { return transom_session_device_name(get()); }
  /// The outputs live until the next run.
  std::span<const transom_tensor> run(const std::string &program, std::span<const transom_tensor> inputs) {
    const transom_tensor *outputs = nullptr;
    size_t count = 0;
    detail::check(transom_run(get(), program.c_str(), inputs.data(), inputs.size(), &outputs, &count));
    return {outputs, count};
  }
  std::vector<std::string> generate(std::span<const std::string> prompts, const GenerateOptions &options = {},
                                    const TextCallback &onText = {}) {
    struct Context {
      const TextCallback &onText;
      std::exception_ptr thrown;
    } context{onText, nullptr};
    auto forward = [](void *user, size_t row, const char *text, transom_finish finish) {
      auto &context = *static_cast<Context *>(user);
      try {
        return !context.onText || context.onText(row, text, finish);
      } catch (...) {
        context.thrown = std::current_exception();
        return false;
      }
    };
    char **texts = nullptr;
    auto pointers = detail::pointersTo(prompts);
    detail::check(transom_generate(get(), pointers.data(), pointers.size(), &options, forward, &context, &texts));
    auto release = [&](char **owned) { transom_texts_free(owned, prompts.size()); };
    std::unique_ptr<char *, decltype(release)> owner(texts, release);
    if (context.thrown)
      std::rethrow_exception(context.thrown);
    return {texts, texts + prompts.size()};
  }
  size_t embeddingDim() {
    size_t dim = 0;
    detail::check(transom_embedding_dim(get(), &dim));
    return dim;
  }
  /// [texts, dim], row-major.
  std::vector<float> embed(std::span<const std::string> texts) {
    std::vector<float> vectors(texts.size() * embeddingDim());
    auto pointers = detail::pointersTo(texts);
    detail::check(transom_embed(get(), pointers.data(), pointers.size(), vectors.data()));
    return vectors;
  }
  std::vector<std::string> labels() {
    const char *const *labels = nullptr;
    size_t count = 0;
    detail::check(transom_labels(get(), &labels, &count));
    return {labels, labels + count};
  }
  LabelScores classify(std::span<const Text> texts) {
    size_t size = texts.size() * labels().size();
    LabelScores out{std::vector<float>(size), std::vector<float>(size)};
    auto views = detail::viewsOf(texts);
    detail::check(transom_classify(get(), views.data(), views.size(), out.logits.data(), out.scores.data()));
    return out;
  }
  std::vector<transom_token_label> classifyTokens(std::span<const Text> texts) {
    transom_token_label *labels = nullptr;
    size_t count = 0;
    auto views = detail::viewsOf(texts);
    detail::check(transom_classify_tokens(get(), views.data(), views.size(), &labels, &count));
    std::unique_ptr<transom_token_label, detail::Deleter<transom_token_labels_free>> owner(labels);
    return {labels, labels + count};
  }
  std::vector<transom_mask_token> fillMask(std::span<const Text> texts, size_t topK = 5, int32_t maskToken = -1) {
    transom_mask_token *tokens = nullptr;
    size_t count = 0;
    auto views = detail::viewsOf(texts);
    detail::check(transom_fill_mask(get(), views.data(), views.size(), topK, maskToken, &tokens, &count));
    std::unique_ptr<transom_mask_token, detail::Deleter<transom_mask_tokens_free>> owner(tokens);
    return {tokens, tokens + count};
  }
  transom_session *get() const { return handle_.get(); }

private:
  std::unique_ptr<transom_session, detail::Deleter<transom_session_free>> handle_;
};

} // namespace transom::api
