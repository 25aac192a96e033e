using System.Globalization;

namespace Hydragen.Engine.Tests;

/// <summary>Random prompts as token ids.</summary>
internal static class Prompts
{
    public static int[] Random(Random random, int length)
    {
        var tokenIds = new int[length];
        for (int i = 0; i < length; i++) tokenIds[i] = random.Next(TinyModel.EosTokenId);
        return tokenIds;
    }

    public static PromptNode Ids(params IReadOnlyList<int> tokenIds) => PromptNode.FromTokenIds(tokenIds);

    /// <summary>Results by prompt and sample.</summary>
    public static Dictionary<(int Input, int Sample), GenerationResult> Collect(Action<Action<GenerationResult>> generate)
    {
        var results = new Dictionary<(int, int), GenerationResult>();
        generate(result => results.Add((result.InputIndex, result.SampleIndex), result));
        return results;
    }

    /// <summary>Everything that a call hands out, in order; numbers to the last bit when they are exact.</summary>
    public static List<string> Updates(TinyModel model, PromptNode[] prompts, GenerationOptions options, PrefixHandle? prefix = null, bool isExact = false)
    {
        var lines = new List<string>();
        string format = isExact ? "r" : "g4";
        model.Engine.Generate(prompts, options, update => lines.Add(string.Create(
            CultureInfo.InvariantCulture,
            $"{update.InputIndex}.{update.SampleIndex} {update.TokenId} '{update.Text}' {update.LogProbability?.ToString(format, CultureInfo.InvariantCulture)} {update.Result?.FinishReason} {update.Result?.Text}")),
            prefix: prefix);
        return lines;
    }
}
