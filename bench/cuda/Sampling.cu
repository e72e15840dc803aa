// Checks of token selection against a sorted fp64 walk of the distribution, and its time.
#include <numeric>

#include "Checks.h"
#include "Lab.h"

namespace lab {
namespace {

constexpr int cluster = 8;

double uniform(uint64_t seed, uint32_t step) {
  uint32_t c[4] = {step, 0, 0, 0}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    uint64_t a = (uint64_t)c[0] * 0xd2511f53u, b = (uint64_t)c[2] * 0xcd9e8d57u;
    uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ key[1], (uint32_t)a};
    std::copy(next, next + 4, c);
    key[0] += 0x9e3779b9u, key[1] += 0xbb67ae85u;
  }
  return (c[0] >> 8) * 0x1p-24;
}

/// The tokens that a hair more or less of the target would choose, in order.
std::vector<int> reference(const float *x, int n, float temperature, int topK, float topP, uint64_t seed, int step) {
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return x[a] > x[b]; });
  if (!(temperature > 0))
    return {order[0]};
  size_t kept = topK > 0 ? std::min(topK, n) : n;
  std::vector<double> w(kept);
  double total = 0;
  for (size_t i = 0; i < kept; ++i)
    total += w[i] = std::exp(((double)x[order[i]] - x[order[0]]) / temperature);
  if (topP < 1) {
    double sum = 0;
    size_t i = 0;
    while (i < kept && sum < topP * total)
      sum += w[i++];
    kept = std::max<size_t>(i, 1), total = std::accumulate(w.begin(), w.begin() + kept, 0.0);
  }
  std::vector<int> possible;
  for (double nudge : {-5e-6, -1e-6, 0.0, 1e-6, 5e-6}) {
    double target = (uniform(seed, step) + nudge) * total, sum = 0;
    size_t i = 0;
    while (i + 1 < kept && sum + w[i] <= target)
      sum += w[i++];
    possible.push_back(order[i]);
  }
  return possible;
}

struct Case {
  float temperature;
  int topK;
  float topP;
};

void checkOne(const std::string &name, std::vector<float> row, const std::vector<Case> &cases) {
  int n = (int)row.size(), batch = (int)cases.size();
  std::vector<float> x, temperature, topP;
  std::vector<int> topK, step;
  std::vector<int64> seed;
  std::vector<uint64> best;
  for (const Case &c : cases) {
    x.insert(x.end(), row.begin(), row.end());
    temperature.push_back(c.temperature), topP.push_back(c.topP), topK.push_back(c.topK);
    step.push_back(randomInt(0, 1000)), seed.push_back((int64)generator()());
    int first = (int)(std::max_element(row.begin(), row.end()) - row.begin());
    uint32_t bits;
    std::memcpy(&bits, &row[first], 4);
    best.push_back((uint64)(bits >> 31 ? ~bits : bits | 0x80000000u) << 32 | (uint32_t)~first);
  }
  Device<float> dx(x), dt(temperature), dp(topP);
  Device<int> dk(topK), ds(step), token((size_t)batch);
  Device<int64> dseed(seed);
  Device<uint64> dbest(best);
  launch(sampleEntry<cluster>, {dim3(cluster, batch), 1024, 0, nullptr, false}, SampleArguments{dx, dbest, dt, dk, dp, dseed, ds, 1, token, n});
  auto out = token.host();
  int wrong = 0, near = 0;
  std::string what;
  for (int i = 0; i < batch; ++i) {
    auto possible = reference(row.data(), n, temperature[i], topK[i], topP[i], (uint64_t)seed[i], step[i]);
    bool exact = out[i] == possible[possible.size() / 2], close = std::find(possible.begin(), possible.end(), out[i]) != possible.end();
    wrong += !close, near += close && !exact;
    if (!close)
      what += " row " + std::to_string(i) + ": " + std::to_string(out[i]) + " for " + std::to_string(possible[possible.size() / 2]);
  }
  report(wrong == 0, name, std::to_string(batch) + " rows, " + std::to_string(near) + " within rounding of the next token," + what);
}

} // namespace

void checkSampling() {
  std::vector<Case> cases;
  for (float temperature : {0.0f, 0.3f, 1.0f, 2.5f})
    for (int topK : {0, 1, 7, 50, 100000})
      for (float topP : {1.0f, 0.95f, 0.5f, 0.01f})
        cases.push_back({temperature, topK, topP});
  checkOne("sample 1003", randomNumbers<float>(1003, 3.0f), cases);
  checkOne("sample 50257", randomNumbers<float>(50257, 2.0f), cases);
  auto coarse = randomNumbers<float>(4099, 2.0f); // many equal logits
  for (float &v : coarse)
    v = std::round(v);
  checkOne("sample equal logits", coarse, cases);
  checkOne("sample all equal", std::vector<float>(777, -3.5f), cases);
}

void timeSampling() {
  int n = 128256;
  auto x = randomNumbers<float>(n, 2.0f);
  int first = (int)(std::max_element(x.begin(), x.end()) - x.begin());
  Device<float> dx(x), t(std::vector<float>{0.8f}), p(std::vector<float>{0.95f}), all(std::vector<float>{1.0f});
  Device<int> k(std::vector<int>{50}), none(std::vector<int>{0}), step(std::vector<int>{3}), token(1);
  Device<int64> seed(std::vector<int64>{42});
  Device<uint64> best(std::vector<uint64>{(uint64)0xc0000000u << 32 | (uint32_t)~first});
  auto run = [&](const char *name, const int *topK, const float *topP) {
    double ms = medianMs(nullptr, 10, 4, [&] {
      launch(sampleEntry<cluster>, {dim3(cluster, 1), 1024, 0, nullptr, false}, SampleArguments{dx, best, t, topK, topP, seed, step, 0, token, n});
    });
    std::printf("sample vocab %d %s: %.1f us\n", n, name, ms * 1e3);
  };
  run("temperature", none, all);
  run("temperature, top-k 50, top-p 0.95", k, p);
}

} // namespace lab
