// ffzero export
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/train/mesh_start.hpp"

namespace ffzero::app {

namespace {

struct ExportOptions {
  std::string run, out;
};

int run_export(const ExportOptions& options) {
  const TrainedNetwork trained = TrainedNetwork::load(options.run, 1, {.addresses = {}, .trusted = false, .stand_ins = true});
  const MeshExport meshes = mesh_export(trained.network());
  write_mesh_file(options.out, meshes.file, meshes.layout);
  fmt::print("{}\n", options.out);
  return kDone;
}

}  // namespace

void add_export(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = app.add_subcommand(
      "export", "Write the meshes of a photonic run and their prototypes as an .npz of the reference; model.mesh.file reads it");
  command->add_option("run", options->run, "run folder or checkpoint file")->required();
  command->add_option("--out", options->out, ".npz to write")->required();
  command->callback([options, &commands] { commands.chosen = [options] { return run_export(*options); }; });
}

}  // namespace ffzero::app
