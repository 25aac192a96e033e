using System.Text.Json;

namespace Hydragen.Cli.Tests;

/// <summary>What another implementation computed with the embedded model in FP32: tests/golden/reader.</summary>
internal sealed record GoldenReader(string Document, IReadOnlyList<int> DocumentIds, IReadOnlyList<GoldenReaderCase> Cases)
{
    public static GoldenReader Load() => JsonSerializer.Deserialize<GoldenReader>(
        File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "golden", "reader", "cases.json")), JsonSerializerOptions.Web)!;
}

internal sealed record GoldenReaderCase(
    string Question, string Prompt, IReadOnlyList<int> PromptIds, IReadOnlyList<int> AnswerIds, string AnswerText,
    IReadOnlyList<int> FirstTopIds, IReadOnlyList<float> FirstTopLogits);
