// Processes that draw.
// SPDX-License-Identifier: MIT
#include "ffzero/report/gnuplot.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

// Thin axes, a quiet grid, words in the colour of the page (gnuplot's SVG says currentColor for what has no colour of its own).
constexpr const char* kPreamble = R"(set encoding utf8
set border 3 lw 1
set tics nomirror out scale 0.5
set grid back lc rgb "#9aa0a8" lw 0.6 dt 3
unset key
set title offset 0,-0.2
set xlabel offset 0,0.4
set ylabel offset 1,0
set xtics offset 0,0.2
set style fill solid 0.85 noborder
set style line 1 lw 2
set datafile missing "NaN"
)";

// The figure's own commands must not leak into the next format.
std::string one_format(const Figure& figure, const std::string& terminal, const char* suffix) {
  return fmt::format("reset\nset terminal {} noenhanced\nset output {}\n{}set title {}\n{}unset output\n", terminal,
                     gnuplot_text(figure.name + suffix), kPreamble, gnuplot_text(figure.title), figure.plot);
}

bool spawn(const Figure& figure, const fs::path& folder, const GnuplotOptions& options, pid_t& child) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log = figure.name + ".log", script = figure.name + ".gp";
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::string program = options.program, no_init = "-d", argument = script;
  char* arguments[] = {program.data(), no_init.data(), argument.data(), nullptr};
  const int error = posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0;
}

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (line.find_first_not_of(" \t^") != std::string::npos) return line;
  return "it ended with an error";
}

// True if gnuplot ended well.
bool wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Viewers smooth pictures of a few pixels unless they are told not to.
void sharpen_images(const fs::path& svg) {
  std::ifstream in(svg, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  constexpr std::string_view kImage = "<image ";
  if (text.find(kImage) == std::string::npos) return;
  for (std::size_t at = text.find(kImage); at != std::string::npos; at = text.find(kImage, at + 1))
    text.insert(at + kImage.size(), "style='image-rendering:pixelated' ");
  std::ofstream(svg, std::ios::binary) << text;
}

struct Running {
  const Figure* figure;
  pid_t child;
};

void finish(const Running& running, const fs::path& folder, Drawing& drawing) {
  bool well = wait_for(running.child);
  const fs::path stem = folder / running.figure->name;
  const fs::path log = stem.string() + ".log", svg = stem.string() + ".svg";
  std::error_code error;
  well = well && fs::file_size(svg, error) > 0 && !error;
  if (well)
    sharpen_images(svg);
  else
    drawing.failures.push_back(running.figure->name + ": " + first_line(log));
  fs::remove(log, error);
}

}  // namespace

std::vector<std::string> drawing_notices(const Drawing& drawing) {
  std::vector<std::string> notices;
  if (!drawing.available)
    notices.emplace_back(
        "the figures are missing: there is no gnuplot. Get it with \"apt install gnuplot-nox\" and ask for the report again; the data are "
        "kept");
  for (const auto& failure : drawing.failures) notices.push_back("a figure could not be drawn: " + failure);
  return notices;
}

std::string gnuplot_script(const Figure& figure, bool only_svg) {
  const std::string svg = fmt::format("svg size {},{} dynamic font \"sans-serif,15\"", figure.width, figure.height);
  const std::string png = fmt::format("pngcairo size {},{} font \"sans-serif,12\" fontscale 1.55 linewidth 1.6 pointscale 1.6",
                                      2 * figure.width, 2 * figure.height);
  const std::string pdf = fmt::format("pdfcairo size {:.2f}in,{:.2f}in font \"sans-serif,11\"", figure.width / 90.0, figure.height / 90.0);
  const std::string script =
      fmt::format("# {}\n# Redraw: gnuplot {}.gp\n", figure.name, figure.name) + figure.data + one_format(figure, svg, ".svg");
  return only_svg ? script : script + one_format(figure, png, ".png") + one_format(figure, pdf, ".pdf");
}

Drawing draw(const std::vector<Figure>& figures, const fs::path& folder, const GnuplotOptions& options) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw OutputError(folder.string(), "the folder of the figures must be creatable", error.message());
  Drawing drawing;
  std::deque<Running> running;
  for (const Figure& figure : figures) {
    const fs::path script = folder / (figure.name + ".gp");
    std::ofstream out(script, std::ios::binary);
    if (!(out << gnuplot_script(figure, options.only_svg)) || !out.flush())
      throw OutputError(script.string(), "must be writable", "a failed write", "free space");
    out.close();
    for (const char* suffix : {".svg", ".png", ".pdf"}) fs::remove(folder / (figure.name + suffix), error);
    if (isize(running.size()) >= std::max(1, options.jobs)) {
      finish(running.front(), folder, drawing);
      running.pop_front();
    }
    Running next{&figure, 0};
    if (!spawn(figure, folder, options, next.child)) {
      drawing.available = false;
      fs::remove(folder / (figure.name + ".log"), error);
      break;
    }
    running.push_back(next);
  }
  for (const Running& r : running) finish(r, folder, drawing);
  return drawing;
}

}  // namespace ffzero
