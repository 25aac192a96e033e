using System.Globalization;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The size of a Llama with random weights.</summary>
internal sealed record ModelSize(int NumLayers, int HiddenSize, int NumHeads, int NumKvHeads, int IntermediateSize, int VocabularySize)
{
    public const string Form = "layers,hidden,heads,kvHeads,ff,vocab";

    /// <summary>Shapes of published models by name, lower case.</summary>
    public static IReadOnlyDictionary<string, ModelSize> Named { get; } = new Dictionary<string, ModelSize>
    {
        ["codellama-7b"] = new(32, 4096, 32, 32, 11008, 32016) { RotaryTheta = 1e6 },
        ["codellama-13b"] = new(40, 5120, 40, 40, 13824, 32016) { RotaryTheta = 1e6 },
        ["codellama-34b"] = new(48, 8192, 64, 8, 22016, 32000) { RotaryTheta = 1e6 },
        ["llama3-8b"] = new(32, 4096, 32, 8, 14336, 128256) { RotaryTheta = 5e5 },
    };

    /// <summary>The base of the rotary angles.</summary>
    public double RotaryTheta { get; init; } = 10_000;

    /// <summary>Elements of a head.</summary>
    public int HeadDim => HiddenSize / NumHeads;

    /// <summary>Weights in all.</summary>
    public long NumWeights => 2L * VocabularySize * HiddenSize + HiddenSize
        + NumLayers * (2L * HiddenSize * HeadDim * (NumHeads + NumKvHeads) + 3L * HiddenSize * IntermediateSize + 2L * HiddenSize);

    /// <summary>Reads the six numbers of <see cref="Form"/>.</summary>
    /// <exception cref="InputException">They are no model.</exception>
    public static ModelSize Parse(string text)
    {
        int[] n = [.. text.Split(',').Select(part =>
            int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number is >= 1 and <= 1 << 20 ? number : 0)];
        if (n.Length != 6 || n.Contains(0))
            throw new InputException($"--random-model takes six numbers, {Form}, such as 12,768,12,4,2048,32000, not '{text}'.");
        var size = new ModelSize(n[0], n[1], n[2], n[3], n[4], n[5]);
        if (size.HiddenSize % size.NumHeads != 0)
            throw new InputException($"--random-model {text}: {size.NumHeads} heads do not divide the hidden size {size.HiddenSize}.");
        try
        {
            _ = new AttentionShape(size.NumHeads, size.NumKvHeads, size.HeadDim);
        }
        catch (ArgumentOutOfRangeException exception)
        {
            throw new InputException($"--random-model {text}: {exception.Message.Split(" (Parameter", 2)[0]}", exception);
        }
        return size;
    }
}
