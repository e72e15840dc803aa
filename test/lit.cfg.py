# Compiler tests: every .mlir and .test file below this folder is one test; its RUN lines say how it runs.
import os
import lit.formats

config.name = "transom"
config.test_format = lit.formats.ShTest(not bool(os.environ.get("TRANSOM_LIT_EXTERNAL_SHELL")))
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "e2e", "unit", "fuzz", "oracle", "CMakeLists.txt"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.build_dir, "test", "lit")

config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.build_dir, "bin"), config.llvm_tools_dir, config.environment["PATH"]])
config.substitutions.append(("%source", config.source_dir))
config.substitutions.append(("%build", config.build_dir))
config.substitutions.append(("%python", config.python))
