// ffzero export
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/export/c_source.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/train/mesh_start.hpp"
#ifdef FFZERO_WITH_ONNX
#include "ffzero/export/onnx/onnx_model.hpp"
#endif

namespace ffzero::app {

namespace {

struct ExportOptions {
  std::string run, out, format = "reference", name = "network";
};

std::string text_of(const NetworkGraph& graph, const ExportOptions& options) {
#ifdef FFZERO_WITH_ONNX
  if (options.format == "onnx") return onnx_model(graph);
#endif
  return c_source(graph, options.name);
}

int run_export(const ExportOptions& options) {
#ifndef FFZERO_WITH_ONNX
  if (options.format == "onnx")
    throw ConfigError("export --format onnx", "needs a program that was built with libonnx", "one without",
                      "tools/install_deps.sh --onnx and build again, or --format c or npz");
#endif
  const TrainedNetwork trained = TrainedNetwork::load(options.run, 1, {.addresses = {}, .trusted = false, .stand_ins = true});
  if (options.format == "reference") {
    const MeshExport meshes = mesh_export(trained.network());
    write_mesh_file(options.out, meshes.file, meshes.layout);
  } else {
    const NetworkGraph graph = network_graph(trained.predictor());
    if (options.format == "npz")
      write_npz(options.out, graph_arrays(graph));
    else
      write_file_atomically(options.out, text_of(graph, options));
  }
  fmt::print("{}\n", options.out);
  return kDone;
}

}  // namespace

void add_export(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = app.add_subcommand("export", "Write a trained network for other programs: its arrays, C source, ONNX, or meshes");
  command->add_option("run", options->run, "run folder or checkpoint file")->required();
  command->add_option("--out", options->out, "file to write")->required();
  command
      ->add_option(
          "--format", options->format,
          "reference: meshes of a photonic run and their prototypes as an .npz that model.mesh.file reads; npz: weights of dense "
          "and convolutional networks; c: the same as one C99 header with a function that predicts; onnx: the same as a model of ONNX")
      ->check(CLI::IsMember({"reference", "npz", "c", "onnx"}));
  command->add_option("--name", options->name, "prefix of all names in C");
  add_examples(*command, {{"ffzero export runs/first --format c --out network.h", "C source that predicts"},
                          {"ffzero export runs/first --format onnx --out network.onnx", "for the runtimes that read ONNX"},
                          {"ffzero export runs/first --format npz --out network.npz", "weights by name"}});
  add_plugin_option(*command, commands);
  command->callback([options, &commands] { commands.chosen = [options] { return run_export(*options); }; });
}

}  // namespace ffzero::app
