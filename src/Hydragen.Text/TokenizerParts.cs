using Hydragen.Text.AddedTokens;
using Hydragen.Text.Decoders;
using Hydragen.Text.Models;
using Hydragen.Text.Normalizers;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text;

/// <summary>The sections of a tokenizer.json, read and checked.</summary>
internal sealed record TokenizerParts(
    Vocabulary Vocabulary,
    BytePairModel Model,
    List<AddedToken> AddedTokens,
    Normalizer? Normalizer,
    PreTokenizer? PreTokenizer,
    SpecialTokenTemplate Template,
    Decoder Decoder);
