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
}
