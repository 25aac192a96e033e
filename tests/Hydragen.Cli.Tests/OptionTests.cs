namespace Hydragen.Cli.Tests;

public sealed class OptionTests
{
    [Theory]
    [InlineData("--temperature", "-1")]
    [InlineData("--temperature", "NaN")]
    [InlineData("--temperature", "1e99")]
    [InlineData("--temperature", "warm")]
    [InlineData("--temperature", "0,5")]
    [InlineData("--top-p", "0")]
    [InlineData("--top-p", "2")]
    [InlineData("--top-k", "-1")]
    [InlineData("--top-k", "1.5")]
    [InlineData("--min-p", "-0.1")]
    [InlineData("--repetition-penalty", "0")]
    [InlineData("--frequency-penalty", "Infinity")]
    [InlineData("--presence-penalty", "x")]
    [InlineData("--samples", "0")]
    [InlineData("--samples", "1000000000")]
    [InlineData("--max-new-tokens", "0")]
    [InlineData("--max-new-tokens", "99999999999")]
    [InlineData("--min-shared-tokens", "0")]
    [InlineData("--threads", "0")]
    [InlineData("--threads", "100000")]
    [InlineData("--max-kv-memory", "0")]
    [InlineData("--max-kv-memory", "9223372036854775807")]
    [InlineData("--seed", "-1")]
    [InlineData("--seed", "18446744073709551616")]
    [InlineData("--sharing", "none")]
    [InlineData("--sharing", "no-attention")]
    [InlineData("--compute-type", "f64")]
    [InlineData("--kv-type", "int4")]
    [InlineData("--prefix-kv-type", "int4")]
    [InlineData("--kv-scaling", "auto")]
    [InlineData("--weight-type", "int4")]
    public async Task A_value_outside_its_range_is_refused_with_the_name_of_the_option_and_the_value(string option, string value) =>
        (await Cli.RunAsync("generate", "--model", Cli.EmbeddedModel, "--prompt", "a", option, value))
            .AssertBadInput($"{option} must be ", $"not '{value}'", "hydragen generate --help");

    [Fact]
    public async Task Scales_are_refused_where_no_keys_and_values_are_fp8() =>
        (await Cli.RunAsync("generate", "--model", Cli.EmbeddedModel, "--prompt", "a", "--kv-scaling", "calibrated", "--kv-type", "int8", "--prefix-kv-type", "bf16"))
            .AssertBadInput("calibrated scales are those of fp8-e4m3 and fp8-e5m2", "int8 and bf16");

    [Theory]
    [InlineData("--questions", "0")]
    [InlineData("--questions", "-1")]
    [InlineData("--questions", "100000")]
    [InlineData("--document-tokens", "0")]
    [InlineData("--document-tokens", "-5")]
    [InlineData("--document-tokens", "10")]
    [InlineData("--document-tokens", "10000000")]
    [InlineData("--seed", "x")]
    public async Task The_demo_refuses_sizes_that_cannot_work(string option, string value) =>
        (await Cli.RunAsync("demo", option, value)).AssertBadInput(option, value);

    [Fact]
    public async Task The_demo_refuses_a_document_that_leaves_no_room_for_questions() =>
        (await Cli.RunAsync("demo", "--document-tokens", "16380", "--questions", "2")).AssertBadInput("16384", "--document-tokens");

    [Fact]
    public async Task An_unknown_command_is_answered_with_the_known_ones() =>
        (await Cli.RunAsync("nosuch")).AssertBadInput("'nosuch'", "demo, ask, generate");

    [Fact]
    public async Task An_unknown_option_is_named() =>
        (await Cli.RunAsync("doctor", "--fast")).AssertBadInput("--fast", "hydragen doctor --help");

    [Fact]
    public async Task A_required_option_is_named() => (await Cli.RunAsync("generate")).AssertBadInput("--model");

    [Fact]
    public async Task An_option_given_twice_is_refused() =>
        (await Cli.RunAsync("doctor", "--json", "--json", "extra")).AssertBadInput("extra");

    [Theory]
    [InlineData("--prompt", "a", "--tree", "x.json")]
    [InlineData("--prompt", "a", "--prompts", "b")]
    [InlineData("--prompts", "a", "--tree", "x.json")]
    public async Task Two_kinds_of_prompts_are_refused(params string[] args) => (await Cli.GenerateAsync(args)).AssertBadInput("only one of");

    [Fact]
    public async Task No_prompt_is_refused() => (await Cli.GenerateAsync()).AssertBadInput("--prompt", "--tree");

    [Fact]
    public async Task An_empty_stop_string_is_refused() => (await Cli.GenerateAsync("--prompt", "a", "--stop", "")).AssertBadInput("stop string");

    [Fact]
    public async Task A_stack_trace_is_shown_only_with_verbose()
    {
        CliResult result = await Cli.RunAsync("generate", "--model", "no-such-folder", "--prompt", "a", "--verbose");
        Assert.Equal(2, result.ExitCode);
        Assert.StartsWith("hydragen: There is no model folder", result.Error, StringComparison.Ordinal);
        Assert.Contains("   at ", result.Error, StringComparison.Ordinal);
        Assert.Empty(result.Output);
    }
}
