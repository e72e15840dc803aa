// Embeds texts with the C++ wrapper and prints how alike they are to the first one (cosine).
//
//   example_embed <model.transom> <text> <text>...
#include <transom/transom.hpp>

#include <cmath>
#include <cstdio>
#include <numeric>

namespace {

double cosine(std::span<const float> a, std::span<const float> b) {
  auto dot = [](auto x, auto y) { return std::inner_product(x.begin(), x.end(), y.begin(), 0.0); };
  return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3)
    return std::fprintf(stderr, "usage: %s <model.transom> <text> <text>...\n", argv[0]), 2;
  try {
    transom::api::Model model(argv[1]);
    transom::api::Session session(model);
    std::vector<std::string> texts(argv + 2, argv + argc);
    std::vector<float> vectors = session.embed(texts);
    size_t dim = session.embeddingDim();
    std::span<const float> all(vectors);
    for (size_t i = 0; i < texts.size(); ++i)
      std::printf("%7.4f  %s\n", cosine(all.first(dim), all.subspan(i * dim, dim)), texts[i].c_str());
  } catch (const transom::api::Error &error) {
    return std::fprintf(stderr, "error: %s\n", error.what()), 1;
  }
  return 0;
}
