// Instead of fetch.cpp in a build without downloads (FFZERO_FETCH=OFF).
// SPDX-License-Identifier: MIT
#include "ffzero/base/error.hpp"
#include "ffzero/dataset/fetch.hpp"

namespace ffzero {

FetchSummary fetch_dataset(const RemoteDataset& dataset, const std::filesystem::path& dir, const FetchOptions&) {
  throw ConfigError("datasets fetch " + dataset.name, "needs a build with downloads", "one with FFZERO_FETCH=OFF",
                    "put the files into " + (dir / dataset.name).string() + " yourself, or build with -DFFZERO_FETCH=ON");
}

FetchSummary fetch_dataset(std::string_view name, const std::filesystem::path& dir, const FetchOptions& options) {
  return fetch_dataset(remote_dataset(name), dir, options);
}

}  // namespace ffzero
