// Prompts with an attention mask in place of lengths.
#include "GenerationFixture.h"

#include "runtime/generate/PaddedPrompts.h"

#include <algorithm>

using namespace transom;
using namespace transom::test;

namespace {

class PaddedPrompts : public testing::Test {
protected:
  PaddedPrompts() {
    EXPECT_EQ(artifact::write(folder.file("a"), cachedToy().input).message(), "");
    model = *Model::load(folder.file("a"));
    session = std::move(*Session::create(model, {.threads = 1}));
    program = *model->programIndex("prefill");
  }
  const artifact::Program &prefill() const { return model->contents().programs[program]; }
  static TensorView view(std::string_view name, std::span<const int64_t> shape, const std::vector<int32_t> &data) {
    return {name, DType::i32, shape, data.data()};
  }
  /// The toy's next token for each row: the sum of its tokens modulo 16.
  std::vector<int> next(std::span<const TensorView> inputs) {
    auto outputs = session->run(program, inputs);
    EXPECT_EQ(outputs.status().message(), "");
    std::vector<int> tokens;
    for (int64_t row = 0; outputs.ok() && row < outputs->front().shape[0]; ++row) {
      auto *logits = static_cast<const float *>(outputs->front().data) + row * 16;
      tokens.push_back(static_cast<int>(std::max_element(logits, logits + 16) - logits));
    }
    return tokens;
  }
  TemporaryFolder folder;
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  size_t program = 0;
  const int64_t shape[2] = {3, 4}, rows[1] = {3};
};

std::vector<int32_t> numbers(const TensorView &view) {
  auto *data = static_cast<const int32_t *>(view.data);
  int64_t count = 1;
  for (int64_t size : view.shape)
    count *= size;
  return {data, data + count};
}

} // namespace

// Rows padded on the left, on the right and inside become rows of their valid tokens, and lengths count them.
TEST_F(PaddedPrompts, Compacts) {
  std::vector<int32_t> ids = {9, 9, 1, 2, 3, 4, 5, 9, 6, 9, 7, 9}, mask = {0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 2, 0};
  TensorView inputs[] = {view("attention_mask", shape, mask), view("input_ids", shape, ids)};
  ASSERT_TRUE(needCompaction(prefill(), inputs));
  auto compacted = CompactedInputs::of(prefill(), inputs);
  ASSERT_EQ(compacted.status().message(), "");
  ASSERT_EQ(compacted->views().size(), 3u);
  EXPECT_EQ(compacted->views()[0].name, "input_ids");
  EXPECT_EQ(numbers(compacted->views()[0]), (std::vector<int32_t>{1, 2, 0, 0, 3, 4, 5, 0, 6, 7, 0, 0}));
  EXPECT_EQ(compacted->views()[1].name, "lengths");
  EXPECT_EQ(numbers(compacted->views()[1]), (std::vector<int32_t>{2, 3, 2}));
  EXPECT_EQ(compacted->views()[2].name, "past_lengths");
  EXPECT_EQ(numbers(compacted->views()[2]), (std::vector<int32_t>{0, 0, 0}));
  EXPECT_EQ(next(compacted->views()), (std::vector<int>{3, 12, 13}));
}

// A row without tokens is idle; a given past stays; i64 and bool masks say the same.
TEST_F(PaddedPrompts, EmptyRowsAndPast) {
  std::vector<int32_t> ids = {9, 9, 9, 1, 9, 9, 9, 9, 9, 9, 9, 2}, past = {0, 1, 0};
  std::vector<int64_t> wide = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
  std::vector<uint8_t> flags(wide.begin(), wide.end());
  for (TensorView mask : {TensorView{"attention_mask", DType::i64, shape, wide.data()}, {"attention_mask", DType::boolean, shape, flags.data()}}) {
    TensorView inputs[] = {view("input_ids", shape, ids), mask, view("past_lengths", rows, past)};
    auto compacted = CompactedInputs::of(prefill(), inputs);
    ASSERT_EQ(compacted.status().message(), "");
    ASSERT_EQ(compacted->views().size(), 3u);
    EXPECT_EQ(numbers(compacted->views()[0]), (std::vector<int32_t>{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0}));
    EXPECT_EQ(numbers(compacted->views()[1]), past);
    EXPECT_EQ(numbers(compacted->views()[2]), (std::vector<int32_t>{1, 0, 1}));
  }
}

// Inputs with lengths, and those of programs that take a mask, are the program's business.
TEST_F(PaddedPrompts, LeavesOthersAlone) {
  std::vector<int32_t> ids(12), lengths(3);
  TensorView given[] = {view("input_ids", shape, ids), view("attention_mask", shape, ids), view("lengths", rows, lengths)};
  EXPECT_FALSE(needCompaction(prefill(), given));
  EXPECT_FALSE(needCompaction(prefill(), std::span(given).first(1)));
  ArtifactBuilder naive = naiveToy();
  EXPECT_FALSE(needCompaction(naive.contents.programs[0], std::span(given).first(2)));
}

// A mask that does not fit is refused by name.
TEST_F(PaddedPrompts, Refuses) {
  std::vector<int32_t> ids(12), mask(12);
  int64_t other[2] = {2, 6}, flat[1] = {12};
  auto message = [&](TensorView tokens, TensorView valid) {
    TensorView inputs[] = {tokens, valid};
    return CompactedInputs::of(prefill(), inputs).status().message();
  };
  EXPECT_EQ(message(view("input_ids", other, ids), view("attention_mask", shape, mask)),
            "input \"input_ids\": expected rows like attention_mask, [3, 4, ...], found [2, 6]");
  EXPECT_EQ(message(view("input_ids", shape, ids), view("attention_mask", flat, mask)),
            "input \"attention_mask\": expected [batch, seq], found [12]");
  EXPECT_EQ(message(view("input_ids", shape, ids), {"attention_mask", DType::f32, shape, mask.data()}),
            "input \"attention_mask\": expected i32, i64 or bool, found f32");
}
