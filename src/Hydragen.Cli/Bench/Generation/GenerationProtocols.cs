using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>Names of the protocols of the generation benchmark, and what they measure unless told otherwise.</summary>
internal static class GenerationProtocols
{
    public const string Custom = "custom", Paper = "paper", Needles = "needles", Tree = "tree";

    /// <summary>The longest sequence of the paper's sweep: its last prompt leaves room for the new tokens within so many.</summary>
    public const int PaperContext = 16_384;

    /// <summary>What the paper samples with: tokens are nearly uniform, so that sequences differ from their first token on.</summary>
    public static SamplingOptions PaperSampling { get; } = new() { Temperature = 100 };

    /// <summary>Batches of the paper's sweep, which a GPU can do.</summary>
    public static IReadOnlyList<int> PaperBatches { get; } = [32, 64, 128, 256, 512, 1024];

    /// <summary>Shared prompts of the paper's sweep; the last one is cut to <see cref="PaperContext"/>.</summary>
    public static IReadOnlyList<int> PaperPrefixes { get; } = [1024, 2048, 4096, 8192, PaperContext];

    /// <summary>Questions about one document, as in the paper.</summary>
    public static IReadOnlyList<int> Questions { get; } = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
}
