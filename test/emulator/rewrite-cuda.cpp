// rewrite-cuda <in> <out>: a CUDA file as g++ takes it (Rewrite.h). For building the kernel lab without nvcc.
#include "test/emulator/Rewrite.h"

#include <cstdio>
#include <fstream>
#include <iterator>

int main(int count, char **arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: rewrite-cuda <in> <out>\n");
    return 2;
  }
  std::ifstream in(arguments[1], std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    std::fprintf(stderr, "rewrite-cuda: %s: could not be read\n", arguments[1]);
    return 1;
  }
  auto rewritten = transom::emulator::rewriteCuda(text, arguments[1]);
  if (!rewritten.ok()) {
    std::fprintf(stderr, "rewrite-cuda: %s\n", rewritten.status().message().c_str());
    return 1;
  }
  std::ofstream out(arguments[2], std::ios::binary);
  out << "#line 1 \"" << arguments[1] << "\"\n" << *rewritten;
  out.close();
  return out ? 0 : 1;
}
