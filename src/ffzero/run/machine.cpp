// What the run was computed on.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <fstream>
#include <thread>

#include "ffzero/run/run.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

nlohmann::ordered_json machine_description(int threads) {
  std::string processor = "unknown";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);)
    if (line.starts_with("model name")) {
      processor = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  utsname system{};
  uname(&system);
  return {{"processor", processor},     {"cores", std::thread::hardware_concurrency()},
          {"threads", threads},         {"blas", blas_description()},
          {"vectors", vector_target()}, {"system", fmt::format("{} {}", system.sysname, system.machine)},
          {"compiler", FFZERO_COMPILER}};
}

std::string version() { return FFZERO_VERSION; }

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace ffzero
