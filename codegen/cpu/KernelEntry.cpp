// Entry functions: unpacks the arguments of the kernel ABI.
#include "codegen/cpu/KernelEntry.h"

namespace transom {

KernelEntry::KernelEntry(plan::KernelOp kernel, llvm::Module &module, const CpuTarget &target)
    : b(module.getContext()), target(target), kernel_(kernel), module_(module) {
  llvm::Type *pointer = b.getPtrTy(), *i64 = b.getInt64Ty();
  auto *type = llvm::FunctionType::get(b.getVoidTy(), {pointer, pointer, i64, i64, pointer}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, kernel.getSymName(), module);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  target.apply(*function_);
  const char *names[] = {"buffers", "sizes", "begin", "end", "scratch"};
  for (auto [argument, name] : llvm::zip(function_->args(), names))
    argument.setName(name);
  begin = function_->getArg(2);
  end = function_->getArg(3);
  scratch = function_->getArg(4);
  b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "entry", function_));

  int64_t dynamic = 0;
  llvm::SmallVector<mlir::Value> values(kernel.getBody().getArguments());
  llvm::append_range(values, kernel.getOp()->getResults());
  for (auto [index, value] : llvm::enumerate(values)) {
    llvm::Value *slot = b.CreateConstInBoundsGEP1_64(pointer, function_->getArg(0), index);
    Place &place = places_[value];
    place.pointer = b.CreateLoad(pointer, slot, "buffer" + std::to_string(index));
    auto &sizes = place.sizes;
    for (const DimExpr &dim : dimsOf(value.getType())) {
      if (auto constant = dim.constant()) {
        sizes.push_back(integer(*constant));
        continue;
      }
      llvm::Value *at = b.CreateConstInBoundsGEP1_64(i64, function_->getArg(1), dynamic);
      sizes.push_back(b.CreateLoad(i64, at, "size" + std::to_string(dynamic++)));
    }
  }
}

llvm::Function *KernelEntry::finish() {
  b.CreateRetVoid();
  return function_;
}

const KernelEntry::Place &KernelEntry::place(mlir::Value value) const {
  auto found = places_.find(value);
  assert(found != places_.end() && "a value that no buffer stands for");
  return found->second;
}

llvm::Value *KernelEntry::pointer(mlir::Value value) {
  return value ? place(value).pointer : llvm::ConstantPointerNull::get(b.getPtrTy());
}

llvm::Value *KernelEntry::size(mlir::Value value, int axis) {
  auto &sizes = place(value).sizes;
  return sizes[axis < 0 ? axis + int(sizes.size()) : axis];
}

llvm::Value *KernelEntry::multiply(llvm::Value *x, llvm::Value *y) {
  auto isOne = [](llvm::Value *value) {
    auto *constant = llvm::dyn_cast<llvm::ConstantInt>(value);
    return constant && constant->isOne();
  };
  return isOne(x) ? y : isOne(y) ? x : b.CreateMul(x, y, "", /*HasNUW=*/true, /*HasNSW=*/true);
}

llvm::Value *KernelEntry::sizes(mlir::Value value, int from, int to) {
  llvm::Value *product = integer(1);
  for (int axis = from; axis < to; ++axis)
    product = multiply(product, size(value, axis));
  return product;
}

llvm::SmallVector<llvm::Value *> KernelEntry::strides(mlir::Value value) {
  int rank = int(place(value).sizes.size());
  llvm::SmallVector<llvm::Value *> strides(rank, integer(1));
  for (int axis = rank - 2; axis >= 0; --axis)
    strides[axis] = multiply(strides[axis + 1], size(value, axis + 1));
  return strides;
}

llvm::Value *KernelEntry::array(Values values) {
  llvm::Type *element = values.empty() ? b.getInt64Ty() : values.front()->getType();
  llvm::IRBuilder<> first(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  llvm::Value *slots = first.CreateAlloca(llvm::ArrayType::get(element, std::max<size_t>(values.size(), 1)));
  for (auto [index, value] : llvm::enumerate(values))
    b.CreateStore(value, b.CreateConstInBoundsGEP1_64(element, slots, index));
  return slots;
}

llvm::Value *KernelEntry::table(llvm::ArrayRef<double> numbers) {
  llvm::Constant *data = llvm::ConstantDataArray::get(module_.getContext(), numbers);
  auto *global = new llvm::GlobalVariable(module_, data->getType(), /*isConstant=*/true, llvm::GlobalValue::PrivateLinkage,
                                          data, function_->getName() + ".table");
  global->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
  return global;
}

void KernelEntry::multiplyItems(llvm::Value *factor) {
  begin = multiply(begin, factor);
  end = multiply(end, factor);
}

llvm::Value *KernelEntry::call(llvm::StringRef skeleton, Values arguments) {
  llvm::Function *callee = module_.getFunction((skeletonPrefix + skeleton).str());
  assert(callee && "no skeleton of that name");
  assert(callee->arg_size() == arguments.size() && "a skeleton's argument list changed");
  callee->addFnAttr(llvm::Attribute::AlwaysInline);
  return b.CreateCall(callee, arguments);
}

void KernelEntry::loop(llvm::Value *from, llvm::Value *to, llvm::Value *step, llvm::function_ref<void(llvm::Value *)> body) {
  llvm::Function *function = b.GetInsertBlock()->getParent();
  llvm::BasicBlock *before = b.GetInsertBlock(), *inside = llvm::BasicBlock::Create(b.getContext(), "loop", function),
                   *after = llvm::BasicBlock::Create(b.getContext(), "done", function);
  b.CreateCondBr(b.CreateICmpSLT(from, to), inside, after);
  b.SetInsertPoint(inside);
  llvm::PHINode *at = b.CreatePHI(from->getType(), 2);
  at->addIncoming(from, before);
  body(at);
  llvm::Value *next = b.CreateAdd(at, step, "", /*HasNUW=*/true, /*HasNSW=*/true);
  at->addIncoming(next, b.GetInsertBlock());
  b.CreateCondBr(b.CreateICmpSLT(next, to), inside, after);
  b.SetInsertPoint(after);
}

llvm::Function *KernelEntry::shared(llvm::StringRef name, llvm::ArrayRef<llvm::Type *> types, llvm::function_ref<void(Values)> emit) {
  if (llvm::Function *known = module_.getFunction(name))
    return known;
  auto *type = llvm::FunctionType::get(b.getVoidTy(), types, false);
  auto *function = llvm::Function::Create(type, llvm::Function::InternalLinkage, name, module_);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  function->addFnAttr(llvm::Attribute::NoInline);
  target.apply(*function);
  llvm::IRBuilder<>::InsertPointGuard guard(b);
  b.SetInsertPoint(llvm::BasicBlock::Create(b.getContext(), "entry", function));
  llvm::SmallVector<llvm::Value *> arguments;
  for (llvm::Argument &argument : function->args())
    arguments.push_back(&argument);
  emit(arguments);
  b.CreateRetVoid();
  return function;
}

} // namespace transom
