// Kernels of groups (ir/GroupKernel.h): the emitters of single ops, each run on one row or on some columns of one at a time,
// with the numbers between them in the thread's scratch.
//
// An op is emitted as if its operands and results lay whole in memory: a value of which only columns [s, s + w) of row r are
// kept gets the address at which element r * elements + s would be the first one kept. A slice of a row is then an address
// too, and nothing is copied. No emitter touches what is outside its work items.
//
// With a product: each call computes the prologue of all rows, then for its tiles the columns of the product that they need,
// into a tile [rows, w] each, and behind it the epilogue of these columns, row by row.
#include "codegen/cpu/Skeletons.h"

#include "ir/GroupKernel.h"

using namespace mlir;
using llvm::SmallVector;
using transom::plan::GroupKernel, transom::plan::RowStep, transom::plan::Band;

namespace transom {

namespace {

class GroupEmitter {
public:
  GroupEmitter(KernelEntry &entry, GroupOp group, GroupKernel kernel)
      : entry(entry), b(entry.b), group(group), kernel(std::move(kernel)) {}

  LogicalResult run() {
    bindArguments();
    findSizes();
    findRows();
    if (kernel.form.root)
      return columns();
    entry.loop(entry.begin, entry.end, entry.integer(1), [&](llvm::Value *row) { wholeRow(row); });
    return failure(failed);
  }

private:
  //===-- Sizes ---------------------------------------------------------------------------------------------------===//

  void bindArguments() {
    for (auto [argument, input] : llvm::zip(group.getBody().getArguments(), group.getInputs()))
      entry.bind(argument, entry.place(input));
  }

  void findSizes() {
    llvm::StringMap<llvm::Value *> numbers;
    for (BlockArgument argument : group.getBody().getArguments()) {
      sizes[argument] = entry.place(argument).sizes;
      for (auto [axis, size] : llvm::enumerate(sizes[argument]))
        numbers[GroupKernel::sizeName(argument, axis)] = size;
    }
    for (Operation &op : group.getBody().front().without_terminator())
      for (mlir::Value result : op.getResults())
        for (const DimExpr &dim : kernel.sizes.lookup(result))
          sizes[result].push_back(number(dim, numbers));
  }

  llvm::Value *number(const DimExpr &dim, const llvm::StringMap<llvm::Value *> &numbers) {
    llvm::Value *sum = entry.integer(0);
    for (auto &[names, coefficient] : dim.polynomial()) {
      llvm::Value *term = entry.integer(coefficient);
      for (const std::string &name : names)
        term = entry.multiply(term, numbers.lookup(name));
      sum = b.CreateAdd(sum, term);
    }
    return sum;
  }

  void findRows() {
    mlir::Value counted = group.getBody().getArgument(kernel.rowBuffer);
    llvm::Value *all = entry.sizes(counted, 0, int(sizes[counted].size()));
    rows = b.CreateUDiv(all, entry.integer(kernel.rowBufferElements));
    auto *constant = llvm::dyn_cast<llvm::ConstantInt>(rows);
    single = constant ? constant->isOne() : mostRows(entry.kernel(), kernel.rowBuffer, kernel.rowBufferElements) == 1;
  }

  //===-- Addresses -----------------------------------------------------------------------------------------------===//

  static mlir::Type elementType(mlir::Value value) { return elementOf(value.getType()); }

  llvm::Value *bytesOf(llvm::Value *elements, mlir::Value value) {
    auto block = dyn_cast<BlockType>(elementType(value));
    int64_t length = block ? 32 : 1;
    while (block && !plan::bytesOfRow(elementType(value), length))
      length *= 2;
    llvm::Value *bytes = entry.integer(*plan::bytesOfRow(elementType(value), length));
    return b.CreateMul(length == 1 ? elements : b.CreateSDiv(elements, entry.integer(length)), bytes);
  }
  llvm::Value *offset(llvm::Value *pointer, llvm::Value *bytes) { return b.CreateGEP(b.getInt8Ty(), pointer, bytes); }

  /// The number, in all rows, of column `shift` + column of a row.
  llvm::Value *elementAt(mlir::Value value, int64_t shift) {
    llvm::Value *start = b.CreateMul(row, entry.integer(kernel.rowElements(value)));
    return b.CreateAdd(start, b.CreateAdd(column, entry.integer(shift)));
  }

  /// Where element 0 of `value` would be, were all of it in memory.
  llvm::Value *address(mlir::Value value, int64_t shift) {
    if (isa<BlockArgument>(value))
      return entry.pointer(value);
    if (band && value == kernel.form.root.getLhs())
      return lhs();
    Operation *op = value.getDefiningOp();
    if (op == kernel.form.root)
      return product(value, shift);
    for (const RowStep &step : *steps)
      if (step.op == op && step.shift == shift)
        return addressOfStep(step);
    if (auto append = dyn_cast<CacheAppendOp>(op))
      return address(append.getCache(), 0);
    if (isReshape(op))
      return address(op->getOperand(0), shift);
    auto slice = cast<SliceOp>(op);
    mlir::Value input = slice.getInput();
    // Of whole rows there is one copy, wherever a slice of them begins.
    int64_t start = int64_t(slice.getStart()), from = band ? shift + start : shift;
    llvm::Value *skipped = b.CreateMul(row, entry.integer(kernel.rowElements(input) - kernel.rowElements(value)));
    return offset(address(input, from), bytesOf(b.CreateAdd(skipped, entry.integer(start)), value));
  }

  llvm::Value *addressOfStep(const RowStep &step) {
    if (isa<CacheType>(step.value.getType()))
      return address(cast<CacheAppendOp>(step.op).getCache(), 0);
    if (step.output == RowStep::asLhs)
      return lhs();
    if (step.output >= 0)
      return entry.pointer(group.getResult(unsigned(step.output)));
    llvm::Value *kept = offset(entry.scratch, entry.integer(step.scratch));
    return offset(kept, b.CreateNeg(bytesOf(elementAt(step.value, step.shift), step.value)));
  }

  llvm::Value *lhs() {
    mlir::Value value = reshapedFrom(kernel.form.root.getLhs());
    return isa<BlockArgument>(value) ? entry.pointer(value) : offset(entry.scratch, entry.integer(kernel.lhsAt()));
  }

  /// Tile `index` [rows, width] of the band.
  llvm::Value *tile(size_t index) {
    llvm::Value *floats = b.CreateMul(rows, entry.integer(int64_t(index) * band->block));
    llvm::Value *at = b.CreateAdd(b.CreateMul(rows, entry.integer(kernel.lhsBytes())), entry.integer(kernel.lhsAt()));
    return offset(entry.scratch, b.CreateAdd(at, b.CreateMul(floats, entry.integer(sizeof(float)))));
  }
  llvm::Value *product(mlir::Value value, int64_t shift) {
    size_t index = size_t(llvm::find(band->products, shift) - band->products.begin());
    llvm::Value *inTile = b.CreateMul(row, width);
    return offset(tile(index), bytesOf(b.CreateSub(inTile, elementAt(value, shift)), value));
  }

  //===-- Steps ---------------------------------------------------------------------------------------------------===//

  /// Columns [shift + column, shift + column + width) of the step's result; without a band its whole row.
  void emit(const RowStep &step) {
    mlir::Value counted = step.value;
    if (auto append = dyn_cast_or_null<CacheAppendOp>(step.op))
      counted = append.getTokens();
    llvm::Value *first = elementAt(counted, step.shift);
    llvm::Value *last = b.CreateAdd(first, band ? width : entry.integer(kernel.rowElements(counted)));
    if (!step.op)
      return copyOut(step, first, last);
    for (mlir::Value operand : step.op->getOperands())
      if (!isa<BlockArgument>(operand))
        entry.bind(operand, {address(operand, isa<CacheAppendOp>(step.op) ? 0 : step.shift), sizes[operand]});
    entry.bind(step.value, {addressOfStep(step), sizes[step.value]});
    llvm::Value *items = entry.integer(*dimsOf(counted.getType()).back().constant());
    entry.begin = b.CreateUDiv(first, items);
    entry.end = b.CreateUDiv(last, items);
    entry.firstElement = first;
    entry.lastElement = last;
    if (mlir::failed(emitOp(entry, step.op)))
      failed = true;
  }

  void copyOut(const RowStep &step, llvm::Value *first, llvm::Value *last) {
    llvm::Value *to = step.output == RowStep::asLhs ? lhs() : entry.pointer(group.getResult(unsigned(step.output)));
    llvm::Value *from = address(step.value, step.shift), *start = bytesOf(first, step.value), *end = bytesOf(last, step.value);
    entry.call("copy_8", {offset(from, start), offset(to, start), entry.array({b.CreateSub(end, start)}), entry.array({entry.integer(1)}),
                          entry.integer(1), entry.integer(0), entry.integer(0), entry.integer(1)});
  }

  void wholeRow(llvm::Value *at) {
    row = at;
    column = entry.integer(0);
    steps = &kernel.rows;
    for (const RowStep &step : kernel.rows)
      emit(step);
  }

  //===-- Behind a product ----------------------------------------------------------------------------------------===//

  LogicalResult columns() {
    MatmulOp root = kernel.form.root;
    std::string storage = storageName(elementOf(root.getRhs().getType()));
    if (storage.empty())
      return root.emitOpError("on the CPU does not read ") << root.getRhs().getType();
    if (mlir::failed(expectFloats(root, {root.getLhs(), root.getResult()})))
      return failure();
    // Without rows there is nothing to do; where the plan never has more than one, code for more is not made.
    llvm::Value *begin = b.CreateSelect(b.CreateICmpSLT(rows, entry.integer(1)), entry.end, entry.begin), *end = entry.end;
    if (single)
      rows = entry.integer(1);
    entry.loop(entry.integer(0), b.CreateSelect(b.CreateICmpSLT(begin, end), rows, entry.integer(0)), entry.integer(1),
               [&](llvm::Value *at) { wholeRow(at); });
    int64_t before = 0;
    for (const Band &next : kernel.bands) {
      band = &next;
      steps = &next.steps;
      bandColumns(storage, itemsOf(begin, before), itemsOf(end, before));
      before += next.items();
    }
    return failure(failed);
  }

  /// Column where item `item` of the launch begins in this band, within its bounds.
  llvm::Value *itemsOf(llvm::Value *item, int64_t before) {
    llvm::Value *own = b.CreateSub(item, entry.integer(before));
    own = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, own, entry.integer(0));
    return b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateMul(own, entry.integer(band->step)), entry.integer(band->columns));
  }

  void bandColumns(const std::string &storage, llvm::Value *from, llvm::Value *to) {
    entry.loop(from, to, entry.integer(band->block), [&](llvm::Value *at) {
      width = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateSub(to, at), entry.integer(band->block));
      column = at;
      for (auto [index, shift] : llvm::enumerate(band->products))
        multiply(storage, tile(index), b.CreateAdd(at, entry.integer(shift)));
      entry.loop(entry.integer(0), rows, entry.integer(1), [&](llvm::Value *next) {
        row = next;
        for (const RowStep &step : band->steps)
          emit(step);
      });
    });
  }

  /// to [rows, width] = lhs * (rows [first, first + width) of the weight)^T. One function for all tiles and all kernels with a
  /// weight of this kind: inlined, each slice would bring its own.
  void multiply(const std::string &storage, llvm::Value *to, llvm::Value *first) {
    MatmulOp root = kernel.form.root;
    auto weight = cast<RankedTensorType>(root.getRhs().getType());
    int64_t k = weight.getDimSize(1);
    llvm::Type *pointer = b.getPtrTy(), *i64 = b.getInt64Ty();
    std::string name = "tile." + storage + "." + std::to_string(k) + (single ? ".single" : "");
    llvm::Function *function = entry.shared(name, {pointer, pointer, pointer, i64, i64}, [&](KernelEntry::Values x) {
      llvm::Value *items = b.CreateUDiv(b.CreateAdd(x[4], entry.integer(plan::gemvRows - 1)), entry.integer(plan::gemvRows));
      entry.call("gemv_" + storage,
                 {x[0], x[1], x[2], single ? entry.integer(1) : x[3], x[4], entry.integer(k), entry.integer(0), items});
    });
    int64_t rowBytes = *plan::bytesOfRow(weight.getElementType(), k);
    llvm::Value *weights = offset(entry.pointer(root.getRhs()), b.CreateMul(first, entry.integer(rowBytes)));
    b.CreateCall(function, {lhs(), weights, to, rows, width});
  }

  KernelEntry &entry;
  llvm::IRBuilder<> &b;
  GroupOp group;
  GroupKernel kernel;
  llvm::DenseMap<mlir::Value, SmallVector<llvm::Value *>> sizes;
  llvm::Value *rows = nullptr;
  bool single = false; ///< no launch has more than one row
  // What is at work.
  const Band *band = nullptr;
  const SmallVectorImpl<RowStep> *steps = nullptr;
  llvm::Value *row = nullptr, *column = nullptr, *width = nullptr;
  bool failed = false;
};

} // namespace

LogicalResult emitGroup(KernelEntry &entry, GroupOp group) {
  std::string reason;
  FailureOr<GroupKernel> kernel = GroupKernel::of(group, reason);
  if (failed(kernel))
    return group.emitOpError("has no CPU form: ") << reason;
  return GroupEmitter(entry, group, std::move(*kernel)).run();
}

} // namespace transom
