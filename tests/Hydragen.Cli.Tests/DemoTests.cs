using System.Text.Json;

namespace Hydragen.Cli.Tests;

public sealed class DemoTests
{
    [Fact]
    public async Task The_demo_answers_all_questions_the_same_with_sharing_and_without()
    {
        CliResult result = await Cli.RunAsync("demo", "--questions", "8", "--document-tokens", "512", "--seed", "1", "--json");
        JsonElement json = Assert.Single(result.Lines);
        Assert.Equal(
            ["seed", "questions", "with_sharing", "without_sharing", "decode_speed_up", "equal_answers"],
            json.EnumerateObject().Select(property => property.Name));
        Assert.Equal(1, json.GetProperty("seed").GetInt32());
        Assert.Equal(8, json.GetProperty("questions").GetInt32());
        Assert.Equal(8, json.GetProperty("equal_answers").GetInt32());
        JsonElement shared = json.GetProperty("with_sharing"), copied = json.GetProperty("without_sharing");
        foreach (JsonElement run in (JsonElement[])[shared, copied])
        {
            Assert.Equal(
                ["correct", "prefill_seconds", "decode_seconds", "decode_tokens_per_second", "new_tokens", "kv_bytes", "largest_batch"],
                run.EnumerateObject().Select(property => property.Name));
            Assert.InRange(run.GetProperty("correct").GetInt32(), 7, 8);
            Assert.Equal(8, run.GetProperty("largest_batch").GetInt32());
            Assert.True(run.GetProperty("decode_tokens_per_second").GetDouble() > 0);
        }
        Assert.Equal(shared.GetProperty("new_tokens").GetInt64(), copied.GetProperty("new_tokens").GetInt64());
        Assert.True(copied.GetProperty("kv_bytes").GetInt64() > 3 * shared.GetProperty("kv_bytes").GetInt64());
        Assert.Matches(@"^A document of (49\d|50\d|51[012]) tokens \(seed 1\), 8 questions, ", result.Error);
        Assert.Contains("answers correct", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_json_everything_goes_to_standard_error_and_the_seed_is_shown()
    {
        CliResult result = await Cli.RunAsync("demo", "--questions", "1", "--document-tokens", "128", "--weight-type", "int8");
        result.AssertSuccess();
        Assert.Empty(result.Output);
        Assert.Matches(@"\(seed \d+\), 1 question, .*, int8 weights", result.Error);
        Assert.Contains("  Q: ", result.Error, StringComparison.Ordinal);
        Assert.Contains("  A: ", result.Error, StringComparison.Ordinal);
    }
}
