namespace Hydragen.Models;

/// <summary>A model file is malformed, or describes something that this library does not compute. Says which file and where.</summary>
public sealed class ModelFormatException : Exception
{
    /// <summary>Creates the exception; the message is <c>file: problem</c>.</summary>
    /// <param name="file">The file at fault.</param>
    /// <param name="problem">What was found, what was expected, and the tensor, field or offset.</param>
    /// <param name="innerException">The cause, or null.</param>
    public ModelFormatException(string file, string problem, Exception? innerException = null)
        : base($"{file}: {problem}", innerException) => File = file;

    /// <summary>The file at fault.</summary>
    public string File { get; }
}
