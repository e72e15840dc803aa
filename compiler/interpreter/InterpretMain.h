// The reference interpreter as a mode of transom-opt, for tests.
#pragma once

namespace transom {

/// Runs functions of the graph in a file and prints their results, one line each. Arguments:
///   --interpret=NAME      that function; without a name, each function that takes no arguments, under a line "@name"
///   --input=VALUE         the next argument, such as "dense<[1, 2]> : tensor<2xi32>"
///   --precision=f32|f64   how 32-bit floats are kept
///   --weights=PATH        a .gguf or .safetensors file, or a folder of safetensors
///   FILE                  graph text; standard input without it
/// Errors go to standard error, one line each, and make the exit code 1.
int interpretMain(int argc, char **argv);

} // namespace transom
