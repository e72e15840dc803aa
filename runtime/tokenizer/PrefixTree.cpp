// Built level by level from sorted texts, so that siblings are neighbours and a child is found by bisection.
#include "runtime/tokenizer/PrefixTree.h"

#include <algorithm>

namespace transom::tokenizer {

PrefixTree::PrefixTree(const std::vector<std::string> &texts) : nodes_(1) {
  std::vector<int32_t> sorted;
  for (size_t i = 0; i < texts.size(); ++i)
    if (!texts[i].empty())
      sorted.push_back(static_cast<int32_t>(i));
  std::ranges::stable_sort(sorted, {}, [&](int32_t i) -> std::string_view { return texts[static_cast<size_t>(i)]; });
  struct Range {
    size_t begin, end; // of `sorted`: the texts below the node
  };
  std::vector<Range> below{{0, sorted.size()}}, next;
  size_t first = 0; // of the level
  for (size_t depth = 0; !below.empty(); ++depth, below = std::move(next), next = {}) {
    size_t end = nodes_.size();
    for (size_t node = first; node < end; ++node) {
      Range range = below[node - first];
      auto textAt = [&](size_t at) -> std::string_view { return texts[static_cast<size_t>(sorted[at])]; };
      for (; range.begin < range.end && textAt(range.begin).size() == depth; ++range.begin)
        nodes_[node].index = sorted[range.begin];
      nodes_[node].firstChild = static_cast<uint32_t>(nodes_.size());
      while (range.begin < range.end) {
        char byte = textAt(range.begin)[depth];
        size_t stop = range.begin;
        while (stop < range.end && textAt(stop)[depth] == byte)
          ++stop;
        ++nodes_[node].children;
        nodes_.push_back({.byte = static_cast<uint8_t>(byte)});
        next.push_back({range.begin, stop});
        range.begin = stop;
      }
    }
    first = end;
  }
}

const PrefixTree::Node *PrefixTree::childOf(const Node &node, uint8_t byte) const {
  auto begin = nodes_.begin() + node.firstChild, end = begin + node.children;
  auto found = std::lower_bound(begin, end, byte, [](const Node &child, uint8_t b) { return child.byte < b; });
  return found != end && found->byte == byte ? &*found : nullptr;
}

} // namespace transom::tokenizer
