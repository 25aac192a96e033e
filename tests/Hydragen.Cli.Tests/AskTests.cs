using System.Text;
using System.Text.Json;

namespace Hydragen.Cli.Tests;

public sealed class AskTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly GoldenReader _golden = GoldenReader.Load();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Answers_stand_in_the_order_of_the_questions()
    {
        CliResult result = await AskAsync(_golden.Document, string.Join('\n', _golden.Cases.Select(item => item.Question)));
        JsonElement[] lines = result.Lines;
        Assert.Equal(["question", "answer"], lines[0].EnumerateObject().Select(property => property.Name));
        Assert.Equal(_golden.Cases.Select(item => item.Question), lines.Select(line => line.GetProperty("question").GetString()));
        Assert.Equal(_golden.Cases.Select(item => item.AnswerText.Trim()), lines.Select(line => line.GetProperty("answer").GetString()));
        Assert.Empty(result.Error);
    }

    [Fact]
    public async Task Line_ends_byte_order_marks_and_blank_lines_change_nothing()
    {
        string question = _golden.Cases[0].Question;
        CliResult plain = await AskAsync(_golden.Document, question);
        string windows = "\uFEFF" + _golden.Document.Replace("\n", "\r\n", StringComparison.Ordinal) + "\r\n";
        Assert.Equal(plain.Output, (await AskAsync(windows, $"\uFEFF\r\n  {question}  \r\n\r\n")).Output);
        Assert.Equal(_golden.Cases[0].AnswerText.Trim(), Assert.Single(plain.Lines).GetProperty("answer").GetString());
    }

    [Fact]
    public async Task All_modes_of_sharing_give_the_same_answers()
    {
        string questions = string.Join('\n', _golden.Cases.Take(3).Select(item => item.Question));
        CliResult hydragen = await AskAsync(_golden.Document, questions, "--stats");
        Assert.Contains("shared tokens", hydragen.Error, StringComparison.Ordinal);
        foreach (string mode in (string[])["paged", "copied"])
            Assert.Equal(hydragen.Output, (await AskAsync(_golden.Document, questions, "--sharing", mode)).Output);
    }

    [Theory]
    [InlineData("", "Q?", "is empty")]
    [InlineData(" \r\n\t ", "Q?", "is empty")]
    [InlineData("Text.", "", "holds no question")]
    [InlineData("Text.", "\r\n \n", "holds no question")]
    public async Task Empty_files_are_refused(string document, string questions, string mistake) =>
        (await AskAsync(document, questions)).AssertBadInput(mistake);

    [Fact]
    public async Task Files_that_are_no_text_are_refused()
    {
        string good = _folder.Write("good.txt", "Text."), bytes = _folder.Write("bytes.txt", [0x41, 0xFF, 0xFE, 0x00]);
        (await Cli.RunAsync("ask", "--document", bytes, "--questions", good)).AssertBadInput("bytes.txt", "UTF-8");
        (await Cli.RunAsync("ask", "--document", good, "--questions", bytes)).AssertBadInput("bytes.txt", "UTF-8");
        (await Cli.RunAsync("ask", "--document", _folder.Path, "--questions", good)).AssertBadInput("folder");
        (await Cli.RunAsync("ask", "--document", good, "--questions", _folder["none.txt"])).AssertBadInput("There is no file");
        (await Cli.RunAsync("ask", "--document", good, "--questions", good, "--max-new-tokens", "0")).AssertBadInput("--max-new-tokens");
    }

    [Fact]
    public async Task A_document_longer_than_the_context_is_refused() =>
        (await AskAsync(string.Concat(Enumerable.Repeat("x y z ", 10_000)), "Q?")).AssertBadInput("context", "16384");

    [Fact]
    public async Task A_model_without_a_tokenizer_is_refused()
    {
        string model = _folder.CopyModel(("tokenizer.json", null));
        (await AskAsync("Text.", "Q?", "--model", model)).AssertBadInput("tokenizer.json");
    }

    private Task<CliResult> AskAsync(string document, string questions, params string[] args) => Cli.RunAsync(
        ["ask", "--document", _folder.Write("document.txt", Encoding.UTF8.GetBytes(document)), "--questions", _folder.Write("questions.txt", questions), .. args]);
}
