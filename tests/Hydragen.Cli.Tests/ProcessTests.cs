using System.Diagnostics;

namespace Hydragen.Cli.Tests;

/// <summary>What only a real process shows: signals, pipes, exit codes.</summary>
public sealed class ProcessTests
{
    private static string Executable => Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "hydragen.exe" : "hydragen");

    [Fact]
    public async Task Exit_code_and_streams_reach_the_caller()
    {
        using Process process = Start("generate", "--model", "no-such-folder", "--prompt", "a");
        (string output, string error) = await FinishAsync(process);
        Assert.Equal(2, process.ExitCode);
        Assert.Empty(output);
        Assert.Equal("hydragen: There is no model folder 'no-such-folder'.", error.TrimEnd());
    }

    [Fact]
    public async Task Standard_input_is_read_and_standard_output_is_plain_utf8()
    {
        using Process process = Start("tokenize", "--tokenizer", Cli.EmbeddedModel);
        await process.StandardInput.WriteAsync("{\"text\":\"Ottawa\"}\n");
        process.StandardInput.Close();
        (string output, string error) = await FinishAsync(process);
        Assert.Equal(0, process.ExitCode);
        Assert.Empty(error);
        Assert.StartsWith("{\"ids\":[", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_interrupt_ends_a_generation_with_one_line_and_exit_code_130()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("There is no SIGINT to send.");
        using Process process = Start(
            "generate", "--model", Cli.EmbeddedModel, "--prompt", "These", "--samples", "1", "--ignore-eos", "--max-new-tokens", "16000",
            "--prompt", "Now", "--stop", "cannot be produced");
        process.StandardInput.Close();

        // Time for the model to load: an interrupt before the command listens ends the process the system's way.
        await Task.Delay(TimeSpan.FromSeconds(3), TestContext.Current.CancellationToken);
        Assert.False(process.HasExited);
        using Process kill = Process.Start("kill", ["-INT", $"{process.Id}"]);
        (string output, string error) = await FinishAsync(process);
        Assert.Equal(130, process.ExitCode);
        Assert.Empty(output);
        Assert.Equal("hydragen: cancelled", error.TrimEnd());
    }

    [Fact]
    public async Task A_reader_that_closes_the_pipe_early_gets_no_stack_trace()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("The test uses a POSIX shell.");
        string prompts = string.Join(' ', Enumerable.Range(0, 200).Select(i => $"--prompt p{i}"));
        using Process process = StartProgram(
            "/bin/sh", "-c", $"'{Executable}' generate --model '{Cli.EmbeddedModel}' --max-new-tokens 2 {prompts} | head -n 1");
        (string output, string error) = await FinishAsync(process);
        Assert.Empty(error);
        Assert.Single(output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task Doctor_shows_which_cuda_kernels_are_forced_and_refuses_names_that_do_not_exist()
    {
        using Process forced = StartDoctor("portable"), wrong = StartDoctor("nonsense");
        Assert.Contains("HYDRAGEN_CUDA_KERNEL asks for the kernels 'portable'", (await FinishAsync(forced)).Output, StringComparison.Ordinal);
        (string output, string error) = await FinishAsync(wrong);
        Assert.Equal(2, wrong.ExitCode);
        Assert.Empty(output);
        Assert.Equal("hydragen: HYDRAGEN_CUDA_KERNEL names the kernels 'nonsense', which do not exist; use one of hopper, portable.", error.TrimEnd());

        static Process StartDoctor(string kernels) => Process.Start(new ProcessStartInfo(Executable, "doctor")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["HYDRAGEN_CUDA_KERNEL"] = kernels },
        })!;
    }

    private static Process Start(params string[] args) => StartProgram(Executable, args);

    private static Process StartProgram(string program, params string[] args) => Process.Start(new ProcessStartInfo(program, args)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;

    private static async Task<(string Output, string Error)> FinishAsync(Process process)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (await output, await error);
    }
}
