// See LibrarySearch.h.
#include "runtime/cuda/LibrarySearch.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>

namespace transom {

namespace {

namespace fs = std::filesystem;

constexpr const char *versions[] = {"13", "12"};

/// Subfolders of `folder` whose name starts with `prefix`, the last in the alphabet first.
std::vector<fs::path> foldersIn(const fs::path &folder, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed))
    if (entry->path().filename().string().starts_with(prefix) && entry->is_directory(failed))
      found.push_back(entry->path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

void addVenv(const fs::path &venv, std::vector<fs::path> &packages) {
  for (const fs::path &python : foldersIn(venv / "lib", "python3"))
    packages.push_back(python / "site-packages");
}

/// Folders with Python packages: those that hold this module, the active venv, venvs in the folders above this module.
std::vector<fs::path> packageFolders() {
  static const char here = 0;
  std::vector<fs::path> packages;
  for (const char *variable : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const char *venv = std::getenv(variable))
      addVenv(venv, packages);
  Dl_info info;
  if (!::dladdr(&here, &info) || !info.dli_fname)
    return packages;
  std::error_code failed;
  fs::path folder = fs::weakly_canonical(info.dli_fname, failed).parent_path();
  for (int level = 0; level < 5 && folder.has_relative_path(); ++level, folder = folder.parent_path()) {
    if (folder.filename() == "site-packages" || folder.filename() == "dist-packages")
      packages.push_back(folder);
    addVenv(folder / "venv", packages);
    addVenv(folder / ".venv", packages);
  }
  return packages;
}

} // namespace

std::vector<std::string> libraryCandidates(const LibraryName &name) {
  std::vector<fs::path> folders = {"/usr/local/cuda/lib64"};
  for (const fs::path &toolkit : foldersIn("/usr/local", "cuda-"))
    folders.push_back(toolkit / "lib64");
  for (const fs::path &packages : packageFolders())
    folders.insert(folders.end(), {packages / "nvidia/cu13/lib", packages / "nvidia" / name.wheel / "lib"});
  std::vector<std::string> candidates;
  for (const char *version : versions) {
    std::string file = fmt::format("{}.{}", name.stem, version);
    candidates.push_back(file);
    std::error_code failed;
    for (const fs::path &folder : folders)
      if (fs::exists(folder / file, failed))
        candidates.push_back((folder / file).string());
  }
  return candidates;
}

Result<OpenedLibrary> openCudaLibrary(const LibraryName &name) {
  if (const char *chosen = std::getenv(name.environment)) {
    if (void *handle = ::dlopen(chosen, RTLD_NOW | RTLD_LOCAL))
      return OpenedLibrary{handle, chosen};
    return error(StatusCode::notFound, "{} as {} names it cannot be loaded: {}", name.title, name.environment, ::dlerror());
  }
  std::vector<std::string> candidates = libraryCandidates(name);
  for (const std::string &candidate : candidates)
    if (void *handle = ::dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL))
      return OpenedLibrary{handle, candidate};
  return error(StatusCode::notFound,
               "{} was not found (tried {}); install the CUDA toolkit or NVIDIA's wheel {}, or name the library in {}",
               name.title, fmt::join(candidates, ", "), name.package, name.environment);
}

} // namespace transom
