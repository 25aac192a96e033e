using System.Globalization;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Tests;

public sealed class HelpTests
{
    public static TheoryData<string> Verbs => ["demo", "ask", "generate", "score", "tokenize", "attention", "doctor"];

    [Fact]
    public async Task Without_arguments_the_help_goes_to_standard_error_and_the_exit_code_is_2()
    {
        CliResult result = await Cli.RunAsync();
        Assert.Equal(2, result.ExitCode);
        Assert.Empty(result.Output);
        foreach (string verb in Verbs.Select(row => row.Data)) Assert.Contains($"  {verb} ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_root_help_has_one_short_line_a_verb()
    {
        CliResult result = await Cli.RunAsync("--help");
        result.AssertSuccess();
        string[] lines = result.Output.Split('\n');
        foreach (string verb in Verbs.Select(row => row.Data))
        {
            string line = Assert.Single(lines, line => line.StartsWith($"  {verb} ", StringComparison.Ordinal));
            Assert.InRange(line.Length, 20, 100);
            Assert.EndsWith(".", line.TrimEnd(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task Each_verb_has_help_even_when_required_options_are_missing(string verb)
    {
        CliResult result = await Cli.RunAsync(verb, "--help");
        result.AssertSuccess();
        Assert.Contains($" {verb} [options]", result.Output, StringComparison.Ordinal);
        Assert.Contains("--verbose", result.Output, StringComparison.Ordinal);
        Assert.Empty(result.Error);
        Assert.All(result.Output.Split('\n'), line => Assert.InRange(line.Length, 0, 250));
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("--version")]
    [InlineData("generate", "--help")]
    [InlineData("doctor")]
    public async Task Output_that_cannot_be_written_is_one_line_and_exit_code_1(params string[] args)
    {
        using StringWriter error = new(CultureInfo.InvariantCulture);
        using FullStream full = new();
        Assert.Equal(1, await CommandLine.InvokeAsync(args, Terminal.Over(Stream.Null, full, error), TestContext.Current.CancellationToken));
        Assert.Equal("hydragen: no space left", error.ToString().TrimEnd());
    }

    [Fact]
    public async Task The_help_of_generate_says_what_a_line_of_output_holds()
    {
        CliResult result = await Cli.RunAsync("generate", "--help");
        foreach (string field in (string[])["path", "sample", "ids", "text", "finish_reason", "logprobs"])
            Assert.Contains($"\"{field}\"", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_version_is_printed()
    {
        CliResult result = await Cli.RunAsync("--version");
        result.AssertSuccess();
        Assert.Matches(@"^\d+\.\d+\.\d+", result.Output);
    }

    [Fact]
    public async Task Doctor_names_the_kernels_as_text_and_as_json()
    {
        CliResult text = await Cli.RunAsync("doctor");
        text.AssertSuccess();
        Assert.Contains("kernel", text.Output, StringComparison.Ordinal);
        Assert.Contains("cuda", text.Output, StringComparison.Ordinal);
        var json = Assert.Single((await Cli.RunAsync("doctor", "--json")).Lines);
        Assert.Equal(Environment.ProcessorCount, json.GetProperty("processors").GetInt32());
        Assert.Equal(Environment.ProcessorCount, json.GetProperty("threads").GetInt32());
        Assert.True(json.GetProperty("memory_bytes").GetInt64() > 0);
        Assert.NotEmpty(json.GetProperty("kernels").EnumerateArray());
        Assert.All(json.GetProperty("kernels").EnumerateArray(), kernel => Assert.NotEmpty(kernel.GetProperty("reason").GetString()!));
        var cuda = json.GetProperty("cuda");
        Assert.True(cuda.GetProperty("gpus").GetArrayLength() > 0 || cuda.GetProperty("missing").GetArrayLength() > 0);
    }

    [Fact]
    public async Task Doctor_says_with_how_many_threads_it_would_compute()
    {
        Assert.Contains(" 3 threads", (await Cli.RunAsync("doctor", "--threads", "3")).Output, StringComparison.Ordinal);
        Assert.Equal(3, Assert.Single((await Cli.RunAsync("doctor", "--threads", "3", "--json")).Lines).GetProperty("threads").GetInt32());
    }

    [Theory]
    [InlineData("demo")]
    [InlineData("ask --document d --questions q")]
    [InlineData("generate --model m --prompt p")]
    [InlineData("score --model m")]
    [InlineData("attention --input i --output o")]
    [InlineData("bench attention")]
    [InlineData("bench decoding")]
    [InlineData("bench generate")]
    [InlineData("doctor")]
    public async Task Every_verb_that_computes_takes_a_number_of_threads(string line)
    {
        string[] args = line.Split(' ');
        Assert.Contains("--threads", (await Cli.RunAsync([.. args, "--help"])).Output, StringComparison.Ordinal);
        (await Cli.RunAsync([.. args, "--threads", "0"])).AssertBadInput("--threads must be ", "not '0'");
    }

    /// <summary>A disk without room.</summary>
    private sealed class FullStream : MemoryStream
    {
        public override void Write(ReadOnlySpan<byte> buffer) => throw new IOException("no space left");

        public override void Write(byte[] buffer, int offset, int count) => throw new IOException("no space left");
    }
}
