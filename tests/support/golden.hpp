// Reads the golden files: {"shape": [...], "data": [...]} tensors and plain nested lists.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ffzero/tensor/types.hpp"
#include "support/project_folder.hpp"

namespace ffzero::test {

/// FFZERO_GOLDEN_DIR, or the copy in the project.
inline std::filesystem::path golden_dir() {
  const char* dir = std::getenv("FFZERO_GOLDEN_DIR");
  return dir != nullptr && *dir != '\0' ? std::filesystem::path(dir) : project_folder() / "tests/golden/data";
}

/// Every file <folder>/<prefix>*.json, sorted; `folder` is "mlp-cnn" or "photonic". Sets of any size exist, so tests take all.
inline std::vector<std::filesystem::path> golden_files(const std::string& folder, const std::string& prefix) {
  std::vector<std::filesystem::path> found;
  if (!std::filesystem::exists(golden_dir() / folder)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(golden_dir() / folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(".json")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Whether a golden file of a layer is one of a regression.
inline bool is_regression(const nlohmann::json& file) { return file.at("config").at("task") == "regression"; }

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot open golden file " + path.string());
  return nlohmann::json::parse(in);
}

/// All numbers of a tensor or of a (nested) list, in row-major order.
template <class T = double>
std::vector<T> flat(const nlohmann::json& j) {
  if (j.is_object()) return flat<T>(j.at("data"));
  std::vector<T> out;
  if (j.is_array()) {
    for (const auto& e : j) {
      const auto part = flat<T>(e);
      out.insert(out.end(), part.begin(), part.end());
    }
  } else {
    out.push_back(j.get<T>());
  }
  return out;
}

inline Vector<double> vector_of(const nlohmann::json& j) {
  const auto v = flat<double>(j);
  return Eigen::Map<const Vector<double>>(v.data(), isize(v.size()));
}

/// First axis: rows; all the others flattened into columns. A plain list becomes one column.
inline Matrix<double> matrix_of(const nlohmann::json& j) {
  const auto v = flat<double>(j);
  const Index rows = j.is_object() ? j.at("shape").at(0).get<Index>() : isize(j.size());
  return Eigen::Map<const Matrix<double>>(v.data(), rows, rows == 0 ? 0 : isize(v.size()) / rows);
}

inline std::vector<std::int32_t> labels_of(const nlohmann::json& j) { return flat<std::int32_t>(j); }

/// |a - b| <= absolute + relative |b| in every entry.
inline void expect_near(const Eigen::Ref<const Eigen::MatrixXd>& a, const Eigen::Ref<const Eigen::MatrixXd>& b, double absolute,
                        double relative, const std::string& what) {
  ASSERT_EQ(a.rows(), b.rows()) << what;
  ASSERT_EQ(a.cols(), b.cols()) << what;
  for (Index i = 0; i < a.rows(); ++i)
    for (Index k = 0; k < a.cols(); ++k)
      ASSERT_LE(std::abs(a(i, k) - b(i, k)), absolute + relative * std::abs(b(i, k)))
          << what << " at (" << i << ", " << k << "): " << a(i, k) << " instead of " << b(i, k);
}

}  // namespace ffzero::test
