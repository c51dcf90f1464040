// ffzero probe
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/run/probe.hpp"

namespace ffzero::app {

namespace {

using json = nlohmann::ordered_json;

struct ProbeOptions {
  std::string run, data_dir;
  Index layer = -1, draws = 16;
  int threads = 0;
  bool json = false;
  DeviceAccess devices;
};

std::string number(const json& value) {
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : fmt::format("{:.3g}", value.get<double>());
}

std::string cosine_line(const json& at) {
  if (at.at("cosine").is_null()) return "no exact gradient here";
  const json& c = at.at("cosine");
  return fmt::format("{:.4f} +- {:.4f}", c.at("mean").get<double>(), c.at("spread").get<double>());
}

double mismatch_near(const json& slopes, double eps) {
  double best = 1e300, mismatch = 0.0;
  for (const json& s : slopes) {
    const double distance = std::abs(std::log(s.at("eps").get<double>() / eps));
    if (distance < best) {
      best = distance;
      mismatch = s.at("mismatch").get<double>();
    }
  }
  return mismatch;
}

void print_rows(const json& block) {
  const json& first = block.at("at").at(0);
  const json& second = block.at("at").at(1);
  const auto row = [](const char* what, const std::string& a, const std::string& b, const char* meaning) {
    fmt::print("  {:<26} {:>22} {:>22}  {}\n", what, a, b, meaning);
  };
  const auto both = [&](const char* what, const char* key, const char* meaning) {
    row(what, number(first.at(key)), number(second.at(key)), meaning);
  };
  const auto of_cosine = [](const json& at, const char* key) { return at.at("cosine").is_null() ? "-" : number(at.at("cosine").at(key)); };
  const auto snr = [](const json& at) {
    const double noise = at.at("noise").get<double>();
    return noise > 0.0 ? fmt::format("{:.3g}", at.at("signal").get<double>() / noise) : std::string("repeats exactly");
  };
  row("", "initial values", "checkpoint", "");
  both("loss of a batch", "loss", "");
  row("cosine with the gradient", cosine_line(first), cosine_line(second), "1: the exact direction");
  both("  expected", "expected_cosine", "of that many random directions");
  row("  length / gradient", of_cosine(first, "length"), of_cosine(second, "length"), "");
  row("  between two batches", of_cosine(first, "between_batches"), of_cosine(second, "between_batches"), "low: the batch is small");
  both("rms of L+ - L-", "signal", "");
  row("  over its read-out noise", snr(first), snr(second), "below 1: noise decides");
  both("curvature of the loss", "curvature", "along the step");
}

void print_scan(const json& at) {
  fmt::print("\n  {} values\n", at.at("theta").get<std::string>() == "initial" ? "At the initial" : "At the checkpoint's");
  fmt::print("  {:>12} {:>12}    {:>12} {:>13}    {:>12} {:>12} {:>12}\n", "eps", "mismatch", "lr", "change of L", "distance", "uphill",
             "downhill");
  const json& slopes = at.at("slopes");
  const json& steps = at.at("steps");
  const json& along = at.at("along");
  for (std::size_t i = 0; i < std::max({slopes.size(), steps.size(), along.size()}); ++i) {
    std::string line = i < slopes.size()
                           ? fmt::format("  {:>12.3g} {:>12.3g}", slopes[i].at("eps").get<double>(), slopes[i].at("mismatch").get<double>())
                           : std::string(27, ' ');
    line += i < steps.size() ? fmt::format("    {:>12.3g} {:>+13.3g}", steps[i].at("lr").get<double>(), steps[i].at("change").get<double>())
                             : std::string(30, ' ');
    if (i < along.size())
      line += fmt::format("    {:>12.3g} {:>+12.3g} {:>+12.3g}", along[i].at("distance").get<double>(), along[i].at("uphill").get<double>(),
                          along[i].at("downhill").get<double>());
    fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
  }
}

void print_advice(const json& block) {
  const json& now = block.at("at").at(1);
  const json& suggested = now.at("suggested");
  fmt::print("\n");
  if (block.at("eps").is_number()) {
    const double eps = block.at("eps").get<double>();
    fmt::print("  gradient.eps = {:g}: slopes differ by {:.2g} from those of the next lengths; {} would give {:.2g}\n", eps,
               mismatch_near(now.at("slopes"), eps), number(suggested.at("eps")),
               suggested.at("eps").is_null() ? 0.0 : mismatch_near(now.at("slopes"), suggested.at("eps").get<double>()));
  }
  fmt::print("  update.lr = {} ({}): the scan suggests {} at the initial values, {} at the checkpoint\n", number(block.at("lr")),
             block.at("rule").get<std::string>(), number(block.at("at").at(0).at("suggested").at("lr")), number(suggested.at("lr")));
}

void print_block(const json& block) {
  fmt::print("{}: {}, information {}, {} parameters in {} group{}", block.at("name").get<std::string>(),
             block.at("estimator").get<std::string>(), block.at("information").get<std::string>(), block.at("parameters").get<Index>(),
             block.at("groups").get<Index>(), block.at("groups") == 1 ? "" : "s");
  if (!block.at("directions").is_null())
    fmt::print(", {} direction{}", block.at("directions").get<Index>(), block.at("directions") == 1 ? "" : "s");
  fmt::print(", batches of {}\n\n", block.at("batch").get<Index>());
  print_rows(block);
  for (const json& at : block.at("at")) print_scan(at);
  print_advice(block);
  fmt::print("\n");
}

int run_probe(const ProbeOptions& options) {
  ProbeRequest request{.run = options.run,
                       .data_dir = options.data_dir,
                       .cache_dir = cache_dir(),
                       .layer = std::nullopt,
                       .draws = options.draws,
                       .threads = options.threads,
                       .devices = options.devices};
  if (options.layer >= 0) request.layer = options.layer;
  const json result = probe_run(request);
  if (options.json) {
    fmt::print("{}\n", result.dump(2));
    return kDone;
  }
  for (const json& block : result.at("blocks")) print_block(block);
  fmt::print("cost: {} forward evaluations of a sample and {} pullbacks, billed to no run\n",
             result.at("forward_evals").get<std::int64_t>(), result.at("pullbacks").get<std::int64_t>());
  return kDone;
}

}  // namespace

void add_probe(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<ProbeOptions>();
  CLI::App* probe =
      app.add_subcommand("probe",
                         "Look at the estimates of a run: their angle with the exact gradient, signal and noise, the loss along "
                         "a step, and what eps and learning rate that suggests");
  probe->add_option("run", options->run, "run folder or checkpoint file")->required();
  probe->add_option("--layer", options->layer, "this layer only, counted from 0")->check(CLI::Range(0, 65535));
  probe->add_option("--draws", options->draws, "estimates that are compared")->check(CLI::Range(2, 65536));
  probe->add_option("--data-dir", options->data_dir, "folder with the data set (npz, csv: the file)");
  probe->add_option("--threads", options->threads, "threads; 0: all cores")->check(CLI::Range(0, 1024));
  options->devices.one_each = true;
  add_device_options(*probe, options->devices);
  add_plugin_option(*probe, commands);
  probe->add_flag("--json", options->json, "print as JSON");
  add_examples(*probe, {{"ffzero probe runs/first --layer 0", "how good the estimates of the first layer are"}});
  probe->callback([options, &commands] { commands.chosen = [options] { return run_probe(*options); }; });
}

}  // namespace ffzero::app
