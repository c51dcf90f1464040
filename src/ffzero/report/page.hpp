// HTML pages that need nothing but themselves.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "ffzero/report/run_data.hpp"
#include "ffzero/report/run_figures.hpp"

namespace ffzero {

/// The whole page around a body: style for light and dark, phone and paper.
[[nodiscard]] std::string page(const std::string& title, const std::string& body);

/// An SVG file of gnuplot as part of a page: no XML head, no names of other hosts, words in the colour of the page, ids made unique by
/// `prefix`; what gnuplot defines and nothing uses is left out. Empty if there is no such file.
[[nodiscard]] std::string inline_svg(const std::filesystem::path& file, const std::string& prefix);

/// Figures under a heading; those without a drawing are left out. `folder`: where the SVG files lie. Once they take `most` bytes, the
/// others are counted in a sentence that says where they lie.
[[nodiscard]] std::string figures_html(const FigureGroup& group, const std::filesystem::path& folder, const std::string& prefix,
                                       std::size_t most = std::size_t{1} << 30U);

/// The samples that a run gets most wrong, with their pictures. Writes <folder>/worst_samples.png (a sheet of all of them).
[[nodiscard]] std::string worst_samples_html(const RunData& run, const std::filesystem::path& folder);

/// One sample with words about it (HTML). picture: (height, width) grey bytes, written to `file` as PNG; null: words alone.
/// @throws OutputError if the file cannot be written
[[nodiscard]] std::string sample_html(const NpyArray* picture, const std::filesystem::path& file, const std::string& words);

/// Lines about what is missing.
[[nodiscard]] std::string notices_html(const std::vector<std::string>& notices);

/// Base64 (RFC 4648).
[[nodiscard]] std::string base64(std::span<const unsigned char> bytes);

}  // namespace ffzero
