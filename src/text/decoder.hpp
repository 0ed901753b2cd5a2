// From tokens back to text: the `decoder` entry of tokenizer.json.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm::text {

/// A step of decoding. The steps of a file run in order; the results of the last are joined.
struct Decoder {
    /// Rewrites the tokens of a text; they may become fewer.
    std::function<std::vector<std::string>(std::vector<std::string>)> decode;
    /// What one token in the middle of a text becomes; bytes that are no valid UTF-8 stay as they are.
    std::function<std::string(std::string)> bytes;
};

/// @throws DataError if the decoder isn't supported. Null joins the tokens by spaces, as the library does.
[[nodiscard]] Decoder make_decoder(const nlohmann::json& config, int depth = 0);

}  // namespace tdrm::text
