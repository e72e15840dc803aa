// Checks of token selection against the host's (runtime/format/Sampling.h), and its time.
#include "../../runtime/format/Sampling.h"
#include "Checks.h"
#include "Lab.h"

namespace lab {
namespace {

namespace sampling = transom::sampling;

constexpr int cluster = 8;

/// The host's token for a uniform number and top-p that are a hair more or less than asked for, as asked in the middle.
std::vector<int> reference(const float *x, int n, sampling::Options options, double u) {
  std::vector<int> possible;
  for (double nudge : {-1e-7, 0.0, 1e-7})
    possible.push_back((int)sampling::sample(x, n, options, std::clamp(u + nudge, 0.0, 1.0 - 1e-16)));
  return possible;
}

struct Case {
  float temperature;
  int topK;
  float topP;
};

/// Each case on its own copy of the row. best: keys of LogitsEpilogue, or left to the kernel. idle: rows of length 0.
void checkOne(const std::string &name, const std::vector<float> &row, const std::vector<Case> &cases, bool withBest) {
  int n = (int)row.size(), batch = (int)cases.size();
  std::vector<float> x, temperature, topP;
  std::vector<int> topK, lengths;
  std::vector<int64> seed, stream, index;
  uint64 key = 0;
  for (int i = 0; i < n; ++i) {
    uint32_t order = row[i] != row[i] ? ~0u : sampling::orderOf(row[i]);
    key = std::max<uint64>(key, (uint64)order << 32 | (uint32_t)~i);
  }
  for (const Case &c : cases) {
    x.insert(x.end(), row.begin(), row.end());
    temperature.push_back(c.temperature), topP.push_back(c.topP), topK.push_back(c.topK), lengths.push_back(randomInt(0, 7) > 0);
    seed.push_back((int64)generator()()), stream.push_back(randomInt(0, 1) ? (int64)generator()() : randomInt(0, 100)), index.push_back(randomInt(0, 1000));
  }
  Device<float> dx(x), dt(temperature), dp(topP);
  Device<int> dk(topK), dl(lengths), token(std::vector<int>(batch, -77));
  Device<int64> dseed(seed), dstream(stream), dindex(index);
  Device<uint64> dbest(std::vector<uint64>(batch, key));
  SampleArguments a{dx, withBest ? dbest.p : nullptr, dt, dp, dk, dseed, dstream, dindex, dl, token, n};
  launch(sampleEntry<cluster>, {dim3(cluster, batch), 1024, 0, nullptr, false}, a);
  auto out = token.host();
  launch(sampleEntry<1>, {dim3(1, batch), 1024, 0, nullptr, false}, a);
  report(token.host() == out, name + " by one block", "as by a cluster");
  int wrong = 0, near = 0, same = 0;
  std::string what;
  for (int i = 0; i < batch; ++i) {
    auto possible = reference(row.data(), n, {temperature[i], topK[i], topP[i]}, sampling::uniform((uint64_t)seed[i], (uint64_t)index[i], (uint64_t)stream[i]));
    if (lengths[i] == 0)
      possible = {-77};
    bool exact = out[i] == possible[possible.size() / 2], close = std::find(possible.begin(), possible.end(), out[i]) != possible.end();
    wrong += !close, near += close && !exact, same += exact;
    if (!close)
      what += " row " + std::to_string(i) + ": " + std::to_string(out[i]) + " for " + std::to_string(possible[possible.size() / 2]);
  }
  report(wrong == 0 && near <= 1 + batch / 50, name, std::to_string(same) + " rows equal, " + std::to_string(near) + " within rounding of the next token," + what);
}

} // namespace

static void checkSampling() {
  std::vector<Case> cases;
  for (float temperature : {0.0f, 0.3f, 1.0f, 2.5f})
    for (int topK : {0, 1, 7, 50, 100000})
      for (float topP : {1.0f, 0.95f, 0.5f, 0.01f})
        cases.push_back({temperature, topK, topP});
  checkOne("sample 1003", randomNumbers<float>(1003, 3.0f), cases, false);
  checkOne("sample 50257", randomNumbers<float>(50257, 2.0f), cases, true);
  auto coarse = randomNumbers<float>(4099, 2.0f); // many equal logits, zeros of both signs among them
  for (float &v : coarse)
    v = std::round(v);
  checkOne("sample equal logits", coarse, cases, true);
  checkOne("sample all equal", std::vector<float>(777, -3.5f), cases, false);
  std::vector<float> close(5001); // differ in the lowest bits only
  for (int spread : {600, 1500, 4000, 30000, 200000}) {
    int lowest = randomInt(0, 1 << 20);
    for (float &v : close)
      v = 1.0f + (float)(lowest + randomInt(0, spread)) * 0x1p-23f;
    checkOne("sample nearly equal " + std::to_string(spread), close, cases, false);
  }
  checkOne("sample one logit", {0.5f}, cases, false);
  auto rare = randomNumbers<float>(3001, 2.0f);
  for (size_t i = 0; i < rare.size(); i += 3)
    rare[i] = -INFINITY;
  checkOne("sample minus infinity", rare, cases, false);
  checkOne("sample nothing but minus infinity", std::vector<float>(50, -INFINITY), cases, true);
  for (float bad : {(float)NAN, -(float)NAN, (float)INFINITY}) {
    rare[1234] = bad;
    for (bool withBest : {false, true})
      checkOne("sample " + std::to_string(bad), rare, cases, withBest);
  }
}
static Register checkSamplingGroup("sampling", checkSampling);

void timeSampling() {
  int n = 128256;
  auto x = randomNumbers<float>(n, 2.0f);
  int first = (int)(std::max_element(x.begin(), x.end()) - x.begin());
  Device<float> dx(x), t(std::vector<float>{0.8f}), p(std::vector<float>{0.95f}), all(std::vector<float>{1.0f});
  Device<int> k(std::vector<int>{50}), none(std::vector<int>{0}), token(1);
  Device<int64> seed(std::vector<int64>{42}), stream(std::vector<int64>{0}), index(std::vector<int64>{3});
  Device<uint64> best(std::vector<uint64>{(uint64)0xc0000000u << 32 | (uint32_t)~first});
  auto run = [&](const char *name, const int *topK, const float *topP) {
    double ms = medianMs(nullptr, 10, 4, [&] {
      launch(sampleEntry<cluster>, {dim3(cluster, 1), 1024, 0, nullptr, false}, SampleArguments{dx, best, t, topP, topK, seed, stream, index, nullptr, token, n});
    });
    std::printf("sample vocab %d %s: %.1f us\n", n, name, ms * 1e3);
  };
  run("temperature", none, all);
  run("temperature, top-p 0.95", none, p);
  run("temperature, top-k 50, top-p 0.95", k, p);
}

} // namespace lab
