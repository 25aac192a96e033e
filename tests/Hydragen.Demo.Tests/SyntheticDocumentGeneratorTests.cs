using System.Text.Json;
using Hydragen.Cli.Demo;
using Hydragen.Text;

namespace Hydragen.Demo.Tests;

public sealed class SyntheticDocumentGeneratorTests
{
    private static readonly Tokenizer Tokenizer =
        Tokenizer.Load(Path.Combine(AppContext.BaseDirectory, "EmbeddedModel", "tokenizer.json"));

    private static readonly SyntheticDocumentGenerator Generator = new(Grammar.Default);

    [Fact]
    public void The_document_and_the_questions_are_those_of_the_Python_generator()
    {
        JsonElement golden = ReadGolden();
        SyntheticDocument document = Generator.Generate(
            golden.GetProperty("seed").GetInt32(), golden.GetProperty("documentTokens").GetInt32(),
            golden.GetProperty("numQuestions").GetInt32(), Count);

        Assert.Equal(golden.GetProperty("document").GetString(), document.Text);
        Assert.Equal(Ids(golden.GetProperty("documentIds")), Tokenizer.Encode(document.Text));
        Assert.Equal(golden.GetProperty("cases").GetArrayLength(), document.Questions.Count);
        foreach ((JsonElement expected, SyntheticQuestion question) in golden.GetProperty("cases").EnumerateArray().Zip(document.Questions))
        {
            string prompt = Grammar.Default.PromptSuffix(question.Text);
            Assert.Equal(expected.GetProperty("question").GetString(), question.Text);
            Assert.Equal(expected.GetProperty("expectedValue").GetString(), question.ExpectedValue);
            Assert.Equal(expected.GetProperty("expectedAnswer").GetString(), question.ExpectedAnswer);
            Assert.Equal(expected.GetProperty("position").GetDouble(), question.Position, 12);
            Assert.Equal(expected.GetProperty("prompt").GetString(), prompt);
            Assert.Equal(Ids(expected.GetProperty("promptIds")), Tokenizer.Encode(prompt, addSpecialTokens: false));
        }
    }

    [Theory]
    [InlineData(64)]
    [InlineData(300)]
    [InlineData(4096)]
    public void A_document_comes_close_to_its_token_budget_and_never_exceeds_it(int documentTokens)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            SyntheticDocument document = Generator.Generate(seed, documentTokens, 1, Count);
            Assert.Equal(Count(document.Text), document.NumTokens);
            Assert.InRange(document.NumTokens, documentTokens - 20, documentTokens);
        }
    }

    [Fact]
    public void A_tokenizer_that_counts_the_whole_higher_than_its_parts_still_keeps_the_budget()
    {
        static int CountUnfairly(string text) => (text.Length / 4) + (text.Length > 1000 ? 100 : 0);
        SyntheticDocument document = Generator.Generate(3, 400, 5, CountUnfairly);
        Assert.True(CountUnfairly(document.Text) <= 400);
        Assert.All(document.Questions, question => Assert.InRange(question.Position, 0, 1));
    }

    [Fact]
    public void A_seed_gives_its_document_again_and_another_seed_another_document()
    {
        SyntheticDocument first = Generator.Generate(7, 500, 10, Count);
        SyntheticDocument again = Generator.Generate(7, 500, 10, Count);
        Assert.Equal(first.Text, again.Text);
        Assert.Equal(first.Questions, again.Questions);
        Assert.NotEqual(first.Text, Generator.Generate(8, 500, 10, Count).Text);
    }

    [Fact]
    public void The_default_size_of_the_demo_asks_every_question_about_another_fact()
    {
        SyntheticDocument document = Generator.Generate(1, 4096, 256, Count);
        Assert.True(document.NumFacts >= 256);
        Assert.Equal(256, document.Questions.Select(question => question.Position).Distinct().Count());
    }

    [Fact]
    public void More_questions_than_facts_are_asked_in_other_words()
    {
        SyntheticDocument document = Generator.Generate(1, 200, 30, Count);
        Assert.True(document.NumFacts < 30);
        Assert.Equal(30, document.Questions.Select(question => question.Text).Distinct().Count());
    }

    [Fact]
    public void A_question_has_one_answer_in_its_document()
    {
        SyntheticDocument document = Generator.Generate(11, 4096, 900, Count);
        foreach (IGrouping<string, SyntheticQuestion> same in document.Questions.GroupBy(question => question.Text))
            Assert.Single(same.Select(question => question.ExpectedValue).Distinct());
    }

    [Fact]
    public void The_expected_answer_holds_the_value_and_the_document_states_it()
    {
        SyntheticDocument document = Generator.Generate(12, 1000, 40, Count);
        Assert.All(document.Questions, question =>
        {
            Assert.StartsWith(" ", question.ExpectedAnswer, StringComparison.Ordinal);
            Assert.Contains(question.ExpectedValue, question.ExpectedAnswer, StringComparison.Ordinal);
            Assert.Contains(question.ExpectedValue, document.Text, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void Facts_stand_everywhere_in_the_document()
    {
        SyntheticDocument document = Generator.Generate(13, 4096, 300, Count);
        for (int tenth = 0; tenth < 10; tenth++)
            Assert.Contains(document.Questions, question => (int)(question.Position * 10) == tenth);
    }

    [Fact]
    public void Too_many_questions_are_refused_with_the_number_that_the_document_allows()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => Generator.Generate(1, 100, 500, Count));
        Assert.Contains("500", error.Message, StringComparison.Ordinal);
        Assert.Equal("numQuestions", error.ParamName);
    }

    [Fact]
    public void A_budget_below_the_title_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Generator.Generate(1, 3, 0, Count));

    private static int Count(string text) => Tokenizer.Encode(text, addSpecialTokens: false).Length;

    private static int[] Ids(JsonElement array) => [.. array.EnumerateArray().Select(id => id.GetInt32())];

    private static JsonElement ReadGolden()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Hydragen.slnx")))
            folder = Path.GetDirectoryName(folder);
        Assert.NotNull(folder);
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "tests", "golden", "reader", "cases.json")));
        return document.RootElement.Clone();
    }
}
