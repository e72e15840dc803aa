// Names of layers, and what is alike in them: "layers.3.attention" is one of "layers.*.attention", and of layer "layers.3".
#pragma once

#include <string>
#include <string_view>

namespace transom {

/// The name with every part that is a number replaced by "*".
std::string layerPattern(std::string_view layer);
/// The name up to its first part that is a number; empty without one.
std::string layerStem(std::string_view layer);
/// A text with the numbers inside dotted names replaced: "blk.3.attn_q.weight" becomes "blk.*.attn_q.weight".
std::string textPattern(std::string_view text);
/// "F1" of "F1: expected ..."; empty if the text begins otherwise.
std::string conditionOf(std::string_view text);

} // namespace transom
