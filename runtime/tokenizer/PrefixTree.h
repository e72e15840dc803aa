// A vocabulary as a tree over bytes: which tokens a text begins with, in time that does not depend on how many there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace transom::tokenizer {

class PrefixTree {
public:
  /// Of two equal texts the later index is found; the empty text is not. Texts are not kept.
  explicit PrefixTree(const std::vector<std::string> &texts);

  /// Calls `visit(index, size)` for each text that `text` begins with, the shortest first.
  template <typename Visit> void forEachPrefix(std::string_view text, Visit visit) const {
    const Node *node = &nodes_[0];
    for (size_t size = 0; size < text.size();) {
      node = childOf(*node, static_cast<uint8_t>(text[size++]));
      if (!node)
        return;
      if (node->index >= 0)
        visit(node->index, size);
    }
  }

private:
  struct Node {
    int32_t index = -1;      ///< of the text that ends here, or -1
    uint32_t firstChild = 0; ///< children stand side by side, by byte
    uint16_t children = 0;
    uint8_t byte = 0; ///< that leads here
  };
  const Node *childOf(const Node &node, uint8_t byte) const;

  std::vector<Node> nodes_; ///< by depth; the root first
};

} // namespace transom::tokenizer
