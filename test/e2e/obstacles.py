"""Small graphs with one obstacle each, for test/e2e/explain.py: what a pass must say about it, and where."""

from dataclasses import dataclass


@dataclass
class Obstacle:
    name: str  # of the pass
    says: str  # a pattern in the rejection's text
    place: str  # the planted op's location
    graph: str
    priced: bool = True  # its cost can be estimated
    flags: tuple = ()  # of the command


# Passes that take any graph as it is: nothing can stand in their way.
WITHOUT_OBSTACLE = {"plan-memory"}

# A table that would grow to twice its size if it were stored as its reader wants it.
FOLD_CONSTANTS = """
module {
  func.func @main(%ids: tensor<?xi32> {transom.name = "ids", transom.dims = ["rows"]})
      -> (tensor<?x1024xf32> {transom.name = "y"}) {
    %table = transom.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
    %row = transom.constant dense<0.0> : tensor<1x1024xf32>
    %one = transom.constant dense<1.0> : tensor<600x1x1xf32>
    %wide = transom.add %table, %row : (tensor<2x1xf32>, tensor<1x1024xf32>) -> tensor<2x1024xf32>
    %large = transom.add %wide, %one : (tensor<2x1024xf32>, tensor<600x1x1xf32>) -> tensor<600x2x1024xf32> loc("layers.0.large")
    %rows = transom.reshape %large [1200, 1024] : (tensor<600x2x1024xf32>) -> tensor<1200x1024xf32> loc("layers.0.rows")
    %y = transom.embedding %rows, %ids : (tensor<1200x1024xf32>, tensor<?xi32>) -> tensor<?x1024xf32>
    return %y : tensor<?x1024xf32>
  }
}
"""

# A cache whose tokens something else than attention reads.
MAKE_KV_STATIC = """
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
module {
  func.func @main(%q: !q {transom.name = "q", transom.dims = ["batch", "2", "seq", "4"]},
                  %k: !kv {transom.name = "k", transom.dims = ["batch", "1", "seq", "4"]},
                  %past: !kv {transom.name = "past.0.key", transom.dims = ["batch", "1", "past", "4"]},
                  %mask: tensor<?x?xi32> {transom.name = "attention_mask", transom.dims = ["batch", "past+seq"]})
      -> (!q {transom.name = "y"}, !kv {transom.name = "present.0.key"}, !kv {transom.name = "z"}) {
    %all = transom.concat %past, %k axis 2 : (!kv, !kv) -> !kv loc("layers.0.join")
    %y = transom.attention bhsd %q, %all, %all mask %mask {causal, scale = 1.0 : f64} : (!q, !kv, !kv, tensor<?x?xi32>) -> !q
    %z = transom.exp %all : (!kv) -> !kv
    return %y, %all, %z : !q, !kv, !kv
  }
}
"""

# A value that a matrix product reads too.
FUSE_ELEMENTWISE = """
module {
  func.func @main(%x: tensor<?x4xf32> {transom.name = "x", transom.dims = ["rows", "4"]})
      -> (tensor<?x4xf32> {transom.name = "y"}, tensor<?x?xf32> {transom.name = "z"}) {
    %0 = transom.exp %x : (tensor<?x4xf32>) -> tensor<?x4xf32> loc("layers.7.shared")
    %1 = transom.neg %0 : (tensor<?x4xf32>) -> tensor<?x4xf32>
    %2 = transom.matmul %0, %0 transpose_rhs : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x?xf32>
    return %1, %2 : tensor<?x4xf32>, tensor<?x?xf32>
  }
}
"""

# Heads that stand apart and are joined: reshaping cannot wait for the transpose.
ELIMINATE_TRANSPOSES = """
module {
  func.func @main(%x: tensor<?x2x?x4xf32> {transom.name = "x", transom.dims = ["batch", "2", "seq", "4"]})
      -> (tensor<?x?x8xf32> {transom.name = "y"}) {
    %t = transom.transpose %x [0, 2, 1, 3] : (tensor<?x2x?x4xf32>) -> tensor<?x?x2x4xf32> loc("layers.0.turned")
    %y = transom.reshape %t [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32> loc("layers.0.joined")
    %z = transom.exp %y : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
    return %z : tensor<?x?x8xf32>
  }
}
"""

# Attention whose bias is laid out for padded rows.
REMOVE_PADDING = """
!h = tensor<?x?x2x4xf32>
module {
  func.func @main(%x: !h {transom.name = "x", transom.dims = ["batch", "seq", "2", "4"]},
                  %mask: tensor<?x?xi32> {transom.name = "attention_mask", transom.dims = ["batch", "seq"]},
                  %bias: tensor<1x1x?x?xf32> {transom.name = "bias", transom.dims = ["1", "1", "seq", "seq"]})
      -> (!h {transom.name = "y"}) {
    %q = transom.exp %x : (!h) -> !h
    %y = transom.attention bshd %q, %x, %x mask %mask bias %bias {scale = 0.5 : f64}
       : (!h, !h, !h, tensor<?x?xi32>, tensor<1x1x?x?xf32>) -> !h loc("layers.4.attention")
    return %y : !h
  }
}
"""

# A table of positions that differ by token, not by row.
ASSIGN_LAYOUTS = """
module {
  func.func @main(%ids: tensor<?x?xi32> {transom.name = "input_ids", transom.dims = ["batch", "seq"]},
                  %p: tensor<?x8xf32> {transom.name = "p", transom.dims = ["seq", "8"]})
      -> (tensor<?x?x8xf32> {transom.name = "y"}) {
    %t = transom.constant dense<[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]> : tensor<1x8xf32>
    %s = transom.constant dense<1.0> : tensor<8xf32>
    %x = transom.embedding %t, %ids : (tensor<1x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32> loc("layers.0.words")
    %y = transom.add %x, %p : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32> loc("layers.0.places")
    %z = transom.rms_norm %y, %s epsilon 1.0e-05 : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
    return %z : tensor<?x?x8xf32>
  }
}
"""

# Of three products of one left-hand side the last has no weight beside it.
MERGE_PROJECTIONS = """
module {
  func.func @main(%x: tensor<?x4xf32> {transom.name = "x", transom.dims = ["rows", "4"]},
                  %w: tensor<4x4xf32> {transom.name = "w"})
      -> (tensor<?x4xf32> {transom.name = "y"}) {
    %a = transom.constant dense<[[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 3.0, 4.0], [3.0, 2.0, 3.0, 4.0], [4.0, 2.0, 3.0, 4.0]]> : tensor<4x4xf32>
    %b = transom.constant dense<[[5.0, 2.0, 3.0, 4.0], [6.0, 2.0, 3.0, 4.0], [7.0, 2.0, 3.0, 4.0], [8.0, 2.0, 3.0, 4.0]]> : tensor<4x4xf32>
    %0 = transom.matmul %x, %a transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32> loc("layers.0.query")
    %1 = transom.matmul %x, %b transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32> loc("layers.0.key")
    %2 = transom.matmul %x, %w transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32> loc("layers.0.value")
    %3 = transom.add %0, %1 : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    %4 = transom.mul %3, %2 : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    return %4 : tensor<?x4xf32>
  }
}
"""

# What lies behind a residual is read by a matrix product too.
FUSE_NORM = """
module {
  func.func @main(%x: tensor<?x4xf32> {transom.name = "x", transom.dims = ["rows", "4"]}, %s: tensor<4xf32> {transom.name = "s"})
      -> (tensor<?x4xf32> {transom.name = "y"}, tensor<?x?xf32> {transom.name = "z"}) {
    %0 = transom.exp %x : (tensor<?x4xf32>) -> tensor<?x4xf32> loc("layers.1.shared")
    %1 = transom.add %x, %0 : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32> loc("layers.1.residual")
    %2 = transom.rms_norm %1, %s epsilon 1.0e-05 : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32> loc("layers.1.norm")
    %3 = transom.matmul %0, %0 transpose_rhs : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x?xf32>
    return %2, %3 : tensor<?x4xf32>, tensor<?x?xf32>
  }
}
"""

# A reduction along the rows reads the product, whose rows it mixes.
FUSE_EPILOGUE = """
module {
  func.func @main(%x: tensor<?x4xf32> {transom.name = "x", transom.dims = ["rows", "4"]})
      -> (tensor<?x4xf32> {transom.name = "y"}) {
    %w = transom.constant dense<[[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 3.0, 4.0], [3.0, 2.0, 3.0, 4.0], [4.0, 2.0, 3.0, 4.0]]> : tensor<4x4xf32>
    %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32> loc("layers.0.product")
    %1 = transom.softmax %0 axis 0 : (tensor<?x4xf32>) -> tensor<?x4xf32> loc("layers.0.mixed")
    return %1 : tensor<?x4xf32>
  }
}
"""

# The first token of a causal row is not its last.
CHOOSE_TOKENS_EARLY = """
module {
  func.func @main(%x: tensor<?x?x2x4xf32> {transom.name = "x", transom.dims = ["batch", "seq", "2", "4"]},
                  %mask: tensor<?x?xi32> {transom.name = "attention_mask", transom.dims = ["batch", "seq"]}) -> (tensor<?x2x4xf32> {transom.name = "y"}) {
    %index, %ends = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    %0 = transom.pack %x, %index : (tensor<?x?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
    %1 = transom.attention thd %0, %0, %0 cumulative %ends {scale = 0.5 : f64, causal}
       : (tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32> loc("layers.3.attention")
    %2 = transom.first_token %1 cumulative %ends : (tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
    return %2 : tensor<?x2x4xf32>
  }
}
"""

BOUNDS = 'module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16], rows = [1, 64], tokens = [0, 128]}, transom.task = "run"}'


def planted(name, says, place, graph, **more):
    return Obstacle(name, says, place, graph.replace("module", BOUNDS, 1), **more)


OBSTACLES = [
    planted("fold-constants", "not stored ahead of time: its result .* is larger than what it reads", "layers.0.rows", FOLD_CONSTANTS),
    planted("make-kv-static", "^K5: ", "layers.0.join", MAKE_KV_STATIC),
    planted("eliminate-transposes", "^T1: ", "layers.0.joined", ELIMINATE_TRANSPOSES),
    planted("remove-padding", "^P5: expected attention without bias", "layers.4.attention", REMOVE_PADDING),
    planted("assign-layouts", "^L1: ", "layers.0.places", ASSIGN_LAYOUTS, priced=False),
    planted("choose-tokens-early", "^C1: ", "layers.3.attention", CHOOSE_TOKENS_EARLY, priced=False),
    planted("merge-projections", "^M1: ", "layers.0.value", MERGE_PROJECTIONS),
    planted("quantise-products", "^Q2: ", "layers.0.product", FUSE_EPILOGUE, priced=False, flags=("--quantise=fp8",)),  # no attention reads its rows
    planted("fuse-norm", "^N2: ", "layers.1.shared", FUSE_NORM),
    planted("fuse-epilogue", "^E", "layers.0.mixed", FUSE_EPILOGUE),
    planted("fuse-elementwise", "^F1: expected only elementwise readers, found 'transom.matmul'", "layers.7.shared", FUSE_ELEMENTWISE),
]
